"""Folders of strangers: nothing that they hold is ever run.

The configurations of transformers can name Python code (`auto_map`) that its loaders would import, from the folder or
from another repository. minivl needs no such code: every loader is called with `trust_remote_code=False`, and a
folder that names code is refused before any of them sees it, so nobody is ever asked whether to run it. What is
trusted and what is not stands in SECURITY.md.
"""

import json
from pathlib import Path
from typing import Any

CODE_KEYS = ("auto_map", "trust_remote_code", "custom_generate", "custom_pipelines")
LARGEST = 8 * 2**20  # bytes; the largest tokenizer_config.json of known models has 1.2 MB


class UntrustedFile(ValueError):
    """A file that names code to be run, or that is no configuration at all."""


def refuse_code(folder: Path | str) -> None:
    """Raise UntrustedFile if a configuration in a model's folder names code. Other names than folders are passed over.

    Read are all files whose name contains "config" and ends in .json: transformers looks for code in no others.
    """
    if not Path(folder).is_dir():
        return
    for file in sorted(Path(folder).glob("*config*.json")):
        named = sorted(_code_keys(read_json(file)))
        if named:
            raise UntrustedFile(
                f"{file} names code to be run ({', '.join(named)}), and minivl runs none but its own: ask the author "
                "for a model without custom code, or remove these entries if the model does not need them"
            )


def read_json(file: Path) -> Any:
    """The content of a JSON file. Raises UntrustedFile for one that is too large, damaged or nested too deeply."""
    try:
        if file.stat().st_size > LARGEST:
            raise UntrustedFile(f"{file} has {file.stat().st_size / 2**20:.0f} MB; no configuration has more than 8")
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except UntrustedFile:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UntrustedFile(f"{file} cannot be read as JSON: {type(error).__name__}: {error}") from error


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _code_keys(content: Any) -> set[str]:
    """Those of CODE_KEYS that occur as a key at any depth."""
    found: set[str] = set()
    waiting = [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found |= {key for key in CODE_KEYS if key in part}
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found
