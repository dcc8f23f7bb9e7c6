"""The API reference: a page for each package, with signature and docstring of all its public names.

The source is read, not imported, and docstrings are shown as they were written.
"""

import inspect
from pathlib import Path

import griffe


def write_pages(package: Path, folder: Path) -> int:
    """Write a page for every (sub)package with its modules, and an index; returns the number of public names."""
    root = griffe.load(package.name, search_paths=[package.parent], resolve_aliases=False)
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, list[str]] = {}
    names = 0
    for module in sorted(_modules(root), key=lambda module: module.path):
        entries = [line for member in _public(module) for line in _entry(member, "###")]
        if not entries:
            continue
        names += sum(line.startswith("##") for line in entries)
        page = pages.setdefault(module.path if module.is_package else module.parent.path, [])
        page += [f"## {module.path}\n", *_docstring(module), *entries]
    for name, lines in pages.items():
        (folder / f"{name}.md").write_text("\n".join([f"# {name}\n", *lines]) + "\n", encoding="utf-8")
    listed = "\n".join(pages)
    index = f"# API reference\n\n{names} public names, as they stand in the source.\n\n```{{toctree}}\n{listed}\n```\n"
    (folder / "index.md").write_text(index, encoding="utf-8")
    return names


def _modules(module):
    yield module
    for member in module.members.values():
        if not member.is_alias and member.is_module and not member.name.startswith("_"):
            yield from _modules(member)


def _public(parent):
    """Functions and classes that are defined here, in the order of the source."""
    found = [
        member
        for member in parent.members.values()
        if not member.is_alias and (member.is_function or member.is_class) and not member.name.startswith("_")
    ]
    return sorted(found, key=lambda member: member.lineno or 0)


def _entry(member, level):
    yield f"{level} {member.name.replace('_', chr(92) + '_')}\n"
    yield f"```python\n{_signature(member)}\n```\n"
    yield from _docstring(member)
    if member.is_class:
        for method in _public(member):
            yield from _entry(method, level + "#")


def _signature(member):
    """The lines from the name to the colon before the docstring."""
    head = []
    for line in inspect.cleandoc("\n".join(member.lines)).splitlines():
        head.append(line)
        if line.rstrip().endswith(":") and not line.lstrip().startswith("@"):
            break
    return "\n".join(head)


def _docstring(member):
    if member.docstring:
        yield f"```{{code-block}} text\n:class: api\n\n{inspect.cleandoc(member.docstring.value)}\n```\n"
