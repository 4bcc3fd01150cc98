"""What JSON made of a dataclass, back into the dataclass: nothing is added, left out or guessed."""

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


def build_strictly(cls: type[Any], values: object, name: str) -> Any:  # noqa: ANN401 - an instance of cls
    """Build a dataclass from plain values: lists are tuples, mappings are its parts.

    Args:
        cls: A dataclass whose fields are plain values, tuples of them, or dataclasses.
        values: What ``asdict`` and JSON made of one.
        name: What to call it in an error.

    Raises:
        ValueError: If a field is missing, unknown or refused.
    """
    hints = get_type_hints(cls)
    expected = {field.name for field in fields(cls)}
    if not isinstance(values, dict) or values.keys() != expected:
        given = sorted(values) if isinstance(values, dict) else values
        raise ValueError(f"{name} must have the keys {sorted(expected)}, got {given}.")
    arguments = {}
    for key, value in values.items():
        if is_dataclass(hints[key]):
            arguments[key] = build_strictly(hints[key], value, f"{name}.{key}")
        else:
            arguments[key] = tuple(value) if isinstance(value, list) else value
    return cls(**arguments)
