"""Names of open_clip's architectures and weights, read from its files: importing it takes seconds.

A name that is not here is refused before anything is loaded. The last word has `minivl.clip.load_clip`.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def architectures() -> frozenset[str]:
    """Names of the architectures that open_clip builds: each has a file of its sizes."""
    return frozenset(path.stem for path in (_library() / "model_configs").glob("*.json"))


@cache
def tags() -> dict[str, tuple[str, ...]]:
    """Architecture -> tags of its weights. Empty if open_clip no longer writes them as a table in `pretrained.py`.

    An architecture that ends in "-quickgelu" has some of the tags of the one without, and is not in the table.
    """
    module = ast.parse((_library() / "pretrained.py").read_text(encoding="utf-8"))
    tables = {
        node.targets[0].id: node.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    pretrained = tables.get("_PRETRAINED")
    if not isinstance(pretrained, ast.Dict):
        return {}
    return {
        name.value: tuple(keyword.arg for keyword in entry.keywords if keyword.arg)
        for name, value in zip(pretrained.keys, pretrained.values, strict=True)
        if isinstance(name, ast.Constant) and isinstance(name.value, str)
        if isinstance(entry := tables.get(value.id) if isinstance(value, ast.Name) else value, ast.Call)
    }


def tags_of(architecture: str) -> tuple[str, ...]:
    """Tags of the weights of an architecture."""
    return tags().get(architecture, tags().get(architecture.removesuffix("-quickgelu"), ()))


def _library() -> Path:
    library = find_spec("open_clip")
    assert library is not None and library.origin is not None  # a dependency
    return Path(library.origin).parent
