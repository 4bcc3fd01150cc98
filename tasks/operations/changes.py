"""Settings from a file and the command line: a name becomes a path, ``key=value`` a change of a document."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.errors import UsageError

T = TypeVar("T")


def find_named(name: str, folder: Path) -> Path:
    """Return the file of a name, or the file that is named.

    Args:
        name: Of a file in the folder without its ending, or a path that ends with ``.yaml``.
        folder: Of the committed files.

    Raises:
        UsageError: If there is no such file.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    path = folder / f"{name}.yaml"
    if "/" in name or not path.exists():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        none = f"none in {folder.parent.name}/{folder.name}"
        raise UsageError(
            "there is no such recipe.",
            obj=name,
            hint=f"Name a .yaml file, or one of {', '.join(known) or none}.",
        )
    return path


def make_change(document: dict[str, Any], change: str) -> None:
    """Set one value of a document, in place; whether the key is known is checked with the whole.

    Args:
        document: As read from YAML.
        change: ``key=value``; the key is dotted, an item of a list goes by its number, the value is YAML.

    Raises:
        UsageError: If it is no change, or nothing of the document holds the key.
    """
    keys, value = parse_change(change)
    put_value(document, keys, value, change)


def with_changes(changes: Sequence[str], make: Callable[[Sequence[str]], T]) -> T:
    """Make something with changes; what they break is blamed on them, not on the file.

    Args:
        changes: ``key=value``.
        make: Makes it with some of them, possibly none.

    Raises:
        UsageError: Of ``make``; with the changes as its object where it succeeds without them, and with those
            alone that break it by themselves if there are such.
    """
    try:
        return make(changes)
    except UsageError as error:
        if not changes or error.obj in {f"--set {change}" for change in changes}:
            raise
        if _refused(make, ()) is not None:
            make(())  # wrong before any change
        alone = [change for change in changes if _refused(make, (change,)) == error.message]
        options = name_changes(alone or changes)
        raise UsageError(
            error.message, obj=options, hint=f"Correct `{options}`, or leave it out: {error.obj} refuses it."
        ) from error


def name_changes(changes: Sequence[str]) -> str:
    """Write changes as the command line has them."""
    return " ".join(f"--set {change}" for change in changes)


def _refused(make: Callable[[Sequence[str]], object], changes: Sequence[str]) -> str | None:
    try:
        make(changes)
    except UsageError as error:
        return error.message
    return None


def put_value(document: dict[str, Any], keys: list[str], value: object, change: str) -> None:
    """Do what ``make_change`` does, with a change that is parsed already; its text is for the error."""
    target: Any = document
    for key in keys[:-1]:
        target = _part(target, key)
    if isinstance(target, dict):
        target[keys[-1]] = value
    elif isinstance(target, list) and keys[-1].isdigit() and int(keys[-1]) < len(target):
        target[int(keys[-1])] = value
    else:
        sections = [name for name, item in document.items() if isinstance(item, (dict, list))]
        raise UsageError(
            f"the file has no section {'.'.join(keys[:-1])!r}.",
            obj=f"--set {change}",
            hint=f"Sections: {', '.join(sections)}.",
        )


def _part(target: object, key: str) -> Any:  # noqa: ANN401 - any value of YAML
    if isinstance(target, dict):
        return target.get(key)
    if isinstance(target, list) and key.isdigit() and int(key) < len(target):
        return target[int(key)]
    return None


def parse_change(change: str) -> tuple[list[str], Any]:
    """Split ``key=value`` into the parts of its dotted key and the value, which is YAML.

    Raises:
        UsageError: If it is no change.
    """
    key, equals, text = change.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise UsageError("must be key=value.", obj=f"--set {change}", hint="For example language.layers=2.")
    try:
        return keys, YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        message = " ".join(str(error).split())
        raise UsageError(
            f"the value is not YAML: {message}.", obj=f"--set {change}", hint="Quote it."
        ) from error
