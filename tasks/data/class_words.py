"""Which classes to look for, and in what words.

A text file has one class a line::

    background: sky, grass, wall, floor
    cat: cat, kitten
    traffic light
    # a line that begins with # is for people

Before the colon stands the name, after it the words that a text model is asked with; without a colon the name
is the word. The number of a class is its place, from 0. A class named ``background`` counts as surroundings.
``classes.json``, as ``tasks.data.semantic_records`` describes it, keeps the bytes of a data set; its words
are the names.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.data.label_maps import PADDING
from tasks.data.semantic_records import SemanticClasses, read_classes
from tasks.errors import DataError

BACKGROUND = "background"
_FORM = "Write one class a line: `name`, or `name: word, word`."


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassWords:
    """Classes with their words."""

    classes: SemanticClasses
    words: tuple[tuple[str, ...], ...]
    """Of each class; no word stands twice."""

    @property
    def every_word(self) -> tuple[str, ...]:
        """All words, class by class."""
        return tuple(word for words in self.words for word in words)

    @property
    def owners(self) -> tuple[int, ...]:
        """Index of the class of each of ``every_word``."""
        return tuple(number for number, words in enumerate(self.words) for _ in words)


def read_class_words(path: Path) -> ClassWords:
    """Read the classes.

    Args:
        path: Text, or ``classes.json``.

    Raises:
        DataError: With file and line, if it cannot be read, has fewer than two classes or more than fit into
            a label map, or a name or word is empty or stands twice.
    """
    named: list[tuple[str, tuple[str, ...]]]
    if path.suffix == ".json":
        classes = read_classes(path)
        named = [(name, (name,)) for name in classes.names]
        _check(path, named)
        return ClassWords(classes=classes, words=tuple(words for _, words in named))
    named = [_read_line(line, f"{path} line {number}") for number, line in _lines(path)]
    _check(path, named)
    names = tuple(name for name, _ in named)
    background = tuple(number for number, name in enumerate(names) if name == BACKGROUND)
    classes = SemanticClasses(names=names, values=tuple(range(len(names))), background=background)
    return ClassWords(classes=classes, words=tuple(words for _, words in named))


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}.", obj=str(path), hint="Name a file with one class a line."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 at byte {error.start}.", obj=str(path), hint=_FORM) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _read_line(line: str, where: str) -> tuple[str, tuple[str, ...]]:
    name, colon, rest = line.partition(":")
    words = [word.strip() for word in rest.split(",")] if colon else [name.strip()]
    if not name.strip() or not all(words):
        raise DataError(f"a name or word is empty: {line[:80]!r}.", obj=where, hint=_FORM)
    if not colon and "," in name:
        raise DataError(
            f"has a comma but no colon: {line[:80]!r}.",
            obj=where,
            hint=f"Is it one class? Write `{words[0].partition(',')[0]}: {words[0][:60]}`.",
        )
    return name.strip(), tuple(words)


def _check(path: Path, named: list[tuple[str, tuple[str, ...]]]) -> None:
    if not 2 <= len(named) < PADDING:
        raise DataError(
            f"{len(named)} classes: 2 to {PADDING - 1} are possible.",
            obj=str(path),
            hint=f"{_FORM} For one class, add a line for what is not it: `background: wall, floor`.",
        )
    for what, items in (
        ("class", [name for name, _ in named]),
        ("word", [word.casefold() for _, words in named for word in words]),
    ):
        if len(set(items)) != len(items):
            twice = next(item for item in items if items.count(item) > 1)
            raise DataError(f"{what} {twice!r} stands twice.", obj=str(path), hint="Leave one of them out.")
