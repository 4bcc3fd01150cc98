"""Frozen dataclasses as JSON and back: what ``config.json`` holds, read as strictly as it was written."""

import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


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
        ValueError: If a key is missing or unknown, or a value is refused.
    """
    hints = get_type_hints(cls)
    expected = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    if not isinstance(value, Mapping) or value.keys() != expected:
        given = sorted(value) if isinstance(value, Mapping) else value
        raise ValueError(f"{name} must have the keys {sorted(expected)}, got {given}.")
    return cls(**{key: _restored(item, hints[key], f"{name}.{key}") for key, item in value.items()})


def _restored(value: Any, wanted: Any, name: str) -> Any:  # noqa: ANN401 - any value of JSON
    if get_origin(wanted) in {Union, types.UnionType}:
        parts = [option for option in get_args(wanted) if option is not type(None)]
        return None if value is None else _restored(value, parts[0], name)
    if isinstance(value, list):
        inner = get_args(wanted)[0] if get_args(wanted) else None
        return tuple(_restored(item, inner, f"{name}[{number}]") for number, item in enumerate(value))
    return from_stored(wanted, value, name) if isinstance(wanted, type) and is_dataclass(wanted) else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
