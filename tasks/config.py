"""YAML files -> frozen dataclasses. An unknown key, a missing key or a wrong type stops the run.

The reader is ruamel.yaml in YAML 1.2 mode, the one DVC uses: PyYAML reads ``1e-4`` as a string, so the
program and DVC would disagree about the same file.
"""

import dataclasses
import difflib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.errors import UsageError

T = TypeVar("T")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML 1.2 file as plain dictionaries and lists; duplicate keys and tags are refused.

    Raises:
        UsageError: If the file is missing, is not YAML, or is not a mapping.
    """
    value = _parsed(path)
    if not isinstance(value, dict):
        raise UsageError(
            f"must be a mapping, got {type(value).__name__}.", obj=str(path), hint="Correct the file."
        )
    return value


def load_file(path: Path, cls: type[T]) -> T:
    """Read a whole YAML file into a frozen dataclass.

    Raises:
        UsageError: With the place in the file.
    """
    return build(read_yaml(path), cls, place=str(path))


def load_list(path: Path, cls: type[T]) -> tuple[T, ...]:
    """Read a whole YAML file that is a list into frozen dataclasses.

    Raises:
        UsageError: With the place in the file, if it is no list, an empty one, or an item is refused.
    """
    value = _parsed(path)
    if not isinstance(value, list) or not value:
        raise _wrong(f"must be a list that is not empty, got {value!r}", str(path))
    return tuple(build(item, cls, place=f"{path}[{number}]") for number, item in enumerate(value))


def load_section(path: Path, section: str, cls: type[T]) -> T:
    """Read one section of a YAML file into a frozen dataclass.

    Raises:
        UsageError: With the place in the file.
    """
    document = read_yaml(path)
    if section not in document:
        raise UsageError(
            f"no section {section!r}{_suggest(section, document)}", obj=str(path), hint="Add the section."
        )
    return build(document[section], cls, place=f"{path}:{section}")


def build(value: object, cls: type[T], *, place: str) -> T:
    """Turn plain YAML values into ``cls``, strictly.

    Args:
        value: What the YAML reader returned.
        cls: A dataclass. Field types may be bool, int, float, str, None, Literal, unions, tuples and
            dataclasses; an int is accepted where a float is asked for, nothing else is converted.
        place: Where the value stands, for messages.

    Raises:
        UsageError: With the place in the file.
    """
    if not isinstance(value, Mapping):
        raise _wrong(f"must be a mapping, got {value!r}", place)
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in value:
        if key not in fields:
            raise _wrong(f"unknown key {key!r}{_suggest(str(key), fields)}", place)
    missing = [
        name
        for name, field in fields.items()
        if name not in value
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise _wrong(f"missing key {', '.join(map(repr, missing))}", place)
    arguments = {key: _convert(item, hints[key], f"{place}.{key}") for key, item in value.items()}
    try:
        return cls(**arguments)
    except ValueError as error:
        raise _wrong(str(error).rstrip("."), place) from error


def _parsed(path: Path) -> object:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            "no such file.", obj=str(path), hint="Run the command in the root of the project."
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        message = " ".join(str(error).split())
        raise UsageError(f"not valid YAML: {message}.", obj=str(path), hint="Correct the file.") from error


def _convert(value: object, wanted: Any, place: str) -> Any:  # noqa: ANN401
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return _convert_union(value, get_args(wanted), place)
    if origin is Literal:
        if value in get_args(wanted) and type(value) in {type(item) for item in get_args(wanted)}:
            return value
        raise _wrong(f"must be one of {', '.join(map(repr, get_args(wanted)))}, got {value!r}", place)
    if origin is tuple:
        return _convert_tuple(value, get_args(wanted), place)
    if dataclasses.is_dataclass(wanted):
        return build(value, wanted, place=place)  # type: ignore[arg-type]
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is wanted:
        return value
    raise _wrong(f"must be {getattr(wanted, '__name__', wanted)}, got {value!r}", place)


def _convert_union(value: object, options: tuple[Any, ...], place: str) -> Any:  # noqa: ANN401
    if value is None and type(None) in options:
        return None
    problems = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(value, option, place)
        except UsageError as error:
            problems.append(error)
    raise problems[0]


def _convert_tuple(value: object, arguments: tuple[Any, ...], place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(f"must be a list, got {value!r}", place)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise _wrong(f"must have {len(arguments)} items, got {len(value)}", place)
    return tuple(
        _convert(item, kind, f"{place}[{number}]")
        for number, (item, kind) in enumerate(zip(value, arguments, strict=True))
    )


def _suggest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f". Did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}."


def _wrong(message: str, place: str) -> UsageError:
    message = message if message.endswith((".", "?")) else f"{message}."
    return UsageError(message, obj=place, hint="Correct the file.")
