"""Frozen dataclasses as JSON and back: what ``config.json`` holds, read as strictly as it was written."""

import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_KINDS: Final[dict[Any, tuple[type, ...]]] = {bool: (bool,), int: (int,), float: (float, int), str: (str,)}
"""What JSON has for each type of a plain value; it writes some floats as whole numbers."""


def to_stored(settings: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the dataclasses
    """Return a dataclass as values of JSON: lists for tuples, mappings for its parts."""
    stored: dict[str, Any] = _plain(asdict(settings))
    return stored


def from_stored(cls: type[T], value: object, name: str) -> T:
    """Build a dataclass from what ``to_stored`` returned.

    Args:
        cls: A dataclass of plain values, tuples, optional parts and other dataclasses.
        value: Of JSON.
        name: Where the value stands, for messages.

    Raises:
        ValueError: If a key is missing or unknown, or a value is of another type, none of those that a
            ``Literal`` allows, or refused by its dataclass.
    """
    hints = get_type_hints(cls)
    expected = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    if not isinstance(value, Mapping) or value.keys() != expected:
        given = sorted(value) if isinstance(value, Mapping) else value
        raise ValueError(f"{name} must have the keys {sorted(expected)}, got {given}.")
    return cls(**{key: _restored(item, hints[key], f"{name}.{key}") for key, item in value.items()})


def _restored(value: Any, wanted: Any, name: str) -> Any:  # noqa: ANN401 - any value of JSON
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in {Union, types.UnionType}:
        parts = [option for option in inner if option is not type(None)]
        return None if value is None and len(parts) < len(inner) else _restored(value, parts[0], name)
    if origin is Literal:
        if not any(type(value) is type(option) and value == option for option in inner):
            raise ValueError(f"{name} must be one of {list(inner)}, got {value!r}.")
        return value
    if origin is tuple:
        return _restored_tuple(value, inner, name)
    if isinstance(wanted, type) and is_dataclass(wanted):
        return from_stored(wanted, value, name)
    if wanted in _KINDS and type(value) not in _KINDS[wanted]:  # exactly: a bool is no number
        raise ValueError(f"{name} must be of the type {wanted.__name__}, got {value!r}.")
    return value


def _restored_tuple(value: Any, inner: tuple[Any, ...], name: str) -> tuple[Any, ...]:  # noqa: ANN401
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list, got {value!r}.")
    kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
    if len(value) != len(kinds):
        raise ValueError(f"{name} must be a list of {len(kinds)}, got {value!r}.")
    pairs = zip(value, kinds, strict=True)
    return tuple(_restored(item, kind, f"{name}[{number}]") for number, (item, kind) in enumerate(pairs))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
