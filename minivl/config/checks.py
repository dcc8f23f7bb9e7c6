"""Checks that the values of a configuration go through when it is made."""


class ConfigError(ValueError):
    """A setting that does not exist or has a value that makes no sense."""


def fixed(reason: str) -> dict[str, str]:
    """Metadata of a field that is not free to choose: `with_changes` refuses it with the reason."""
    return {"fixed": reason}


def require_at_least(least: int, config: object, *names: str) -> None:
    """Raise ConfigError unless each of these fields is None or at least so large."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise ConfigError(f"{type(config).__name__}.{name} must be at least {least}, not {value}")


def require_share(config: object, *names: str) -> None:
    """Raise ConfigError unless each of these fields is between 0 and 1."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise ConfigError(f"{type(config).__name__}.{name} must be between 0 and 1, not {getattr(config, name)}")


def require_one_of(config: object, **known: tuple[str, ...]) -> None:
    """Raise ConfigError unless each of these fields has one of its known values."""
    for name, values in known.items():
        if getattr(config, name) not in values:
            raise ConfigError(
                f"{type(config).__name__}.{name} must be one of {', '.join(values)}, not {getattr(config, name)!r}"
            )
