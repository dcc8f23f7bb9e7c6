"""Changes of settings by name, as `--set` takes them: `with_changes(scale("small"), ["adapt.learning_rate=1e-3"])`."""

import dataclasses
import json
import types
from collections.abc import Iterable
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from minivl.config.checks import ConfigError

Settings = TypeVar("Settings")


def with_changes(config: Settings, changes: Iterable[str]) -> Settings:
    """A copy of a configuration with some fields changed, each written as `section.field=value`.

    A value is read as the annotation of its field says: a number, true or false, text, JSON for tuples and dicts, and
    `none` where None is allowed. Entries of dicts have names, too: `univl_tasks.joint.train.steps=10`. All changes are
    made at once, so `adapt.steps=10` can come with `adapt.epochs=none`.

    Raises ConfigError for a name that does not exist or is given twice, for a value of another type, for one that
    makes no sense, and for fields that are not free.
    """
    return _changed(config, type(config), _tree(changes), "")


def names_of(changes: Iterable[str]) -> list[str]:
    """The names in changes: "a.b=c" -> "a.b". Raises ConfigError for what is not written like this."""
    names = [change.partition("=")[0] for change in changes if "=" in change]
    wrong = [change for change in changes if not all(change.partition("=")[0].split(".")) or "=" not in change]
    if wrong:
        raise ConfigError(f"--set {wrong[0]}: write SECTION.FIELD=VALUE, such as adapt.learning_rate=1e-3")
    return names


def _tree(changes):
    """["a.b=1", "a.c=2"] -> {"a": {"b": "1", "c": "2"}}."""
    changes, tree = list(changes), {}
    for name, change in zip(names_of(changes), changes, strict=True):
        *sections, field = name.split(".")
        text, branch = change.partition("=")[2], tree
        for section in sections:
            branch = branch.setdefault(section, {})
            if isinstance(branch, str):
                raise ConfigError(f"{name} is part of {section}, which is given as a whole: leave one of them out")
        if branch.setdefault(field, text) != text:
            raise ConfigError(f"{name} is given twice, as {branch[field]} and as {text}: leave one of them out")
    return tree


def _changed(value: Any, kind: Any, change: str | dict, name: str) -> Any:
    """A value with its part of the tree; `kind` is its annotation, `name` its full name."""
    if isinstance(change, str):
        return _read(change, kind, value, name)
    kinds = _kinds(value, kind, name)
    for part in change:
        if part not in kinds:
            known = ", ".join(kinds) or "none here"
            raise ConfigError(f"{name or 'a scale'} has no setting {part}; it has {known}")
    old = value if isinstance(value, dict) else vars(value)
    new = {
        part: _changed(old[part], kinds[part], below, f"{name}.{part}".lstrip(".")) for part, below in change.items()
    }
    if isinstance(value, dict):
        return value | new
    _refuse_fixed(value, change, name)
    try:
        return dataclasses.replace(value, **new)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}" if name else str(error)) from error


def _kinds(value, kind, name) -> dict[str, Any]:
    """The annotations of what a section has, by name."""
    if isinstance(value, dict):
        return dict.fromkeys(value, get_args(kind)[1] if get_args(kind) else Any)
    if dataclasses.is_dataclass(value):
        return get_type_hints(type(value))
    raise ConfigError(f"{name} is {value!r} here: nothing in it can be set")


def _refuse_fixed(config, names, section):
    for field in dataclasses.fields(config):
        if field.name in names and "fixed" in field.metadata:
            raise ConfigError(f"{section}.{field.name}".lstrip(".") + f" cannot be set: {field.metadata['fixed']}")


def _read(text: str, kind: Any, value: Any, name: str) -> Any:
    """A value from text, as the annotation says."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    options = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if text.lower() == "none" and types.NoneType in options:
        return None
    kind = next(option for option in options if option is not types.NoneType)  # all unions are of something and None
    kind = type(value) if kind is Any else kind
    if dataclasses.is_dataclass(kind):
        raise ConfigError(f"{name} is a section: set {', '.join(f'{name}.{part}' for part in get_type_hints(kind))}")
    adapter = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
    compound = (get_origin(kind) or kind) in (tuple, dict, list)
    try:
        return adapter.validate_json(text) if compound else adapter.validate_strings(text)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        like = [_written(value)] if value is not None else []
        none = ["none"] if types.NoneType in options else []
        raise ConfigError(f"{name}={text}: {problem}; write it like {' or '.join(like + none)}") from error


def _written(value) -> str:
    """A value as it would be given."""
    return json.dumps(value, default=str).strip('"')
