"""Text of strangers inside markdown: nothing in it is markup, a mention, a link, a picture or a new row.

Escaping by backslash is not enough for a comment: GitHub and GitLab look for mentions, references and
addresses in what is left after the markdown was read. So a word that could be taken for one stands in a code
span, where neither looks, and the few signs left in plain words are written as character references.
"""

import re
import unicodedata
from collections.abc import Collection
from itertools import groupby

_LONGEST_NAME, _LONGEST_SENTENCE = 200, 1500
"""Characters of one text that are shown."""
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that are shown by number: controls, direction marks, what no font has."""
_PLAIN = re.compile(r"""([^\x00-\x7f]|[A-Za-z0-9.,;:'"()+=/%_\[\]-])+""")
"""Words that may stand outside a code span, unless they hold a trigger."""
_TRIGGERS = re.compile(
    r"""://|www\.|mailto:|xmpp:|gh-\d|:[\w+-]+:|\[[^\]\d+-]|%[\w"]|[0-9a-f]{7,}""", re.IGNORECASE
)
"""Addresses, references, names of emoji and hashes inside a word that looks plain."""
_QUOTED = re.compile(r"`([^`\s](?:[^`]*[^`\s])?)`")
_STARTS = re.compile(r"[!-%'-/:-@\[-_{-~]|\d+[.)]")
_REFERENCES = str.maketrans({sign: f"&#{ord(sign)};" for sign in "[]_"})


def visible(text: str, longest: int = _LONGEST_SENTENCE) -> str:
    """Show characters that a reader cannot see by their numbers, and cut what is too long."""
    shown = "".join(
        f"\\u{ord(letter):04x}" if unicodedata.category(letter) in _HIDDEN else letter
        for letter in text[: longest + 1]
    )
    return shown if len(shown) <= longest else f"{shown[:longest]} …"


def code(text: str) -> str:
    """Return a code span that shows a text and nothing else; it may stand in a table."""
    return _spans(visible(text, _LONGEST_NAME)) or "(empty)"


def prose(text: str) -> str:
    """Return a sentence of which no word does anything; it may stand in a list, a paragraph or a table.

    What stands in a pair of backticks stays a code span.
    """
    pieces: list[str] = []
    for place, part in enumerate(_QUOTED.split(visible(text))):
        pieces += [_spans(part)] if place % 2 else _of_words(part)
    return _guard_start(_join(pieces)) or "(empty)"


def table(columns: list[str], rows: list[list[str]], *, numbers: Collection[int] = ()) -> list[str]:
    """Lay out a table, one line a row, of cells that were escaped before.

    Args:
        columns: Headings.
        rows: Cells.
        numbers: Places of the columns that are aligned to the right.
    """
    rule = ["---:" if place in numbers else "---" for place in range(len(columns))]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]


def _of_words(text: str) -> list[str]:
    """Split a text that holds no quotation into runs of plain words, of others, and of spaces between."""
    pieces = []
    for is_plain, words in groupby(re.findall(r"\S+", text), key=_is_plain):
        group = " ".join(words)
        pieces += [group.translate(_REFERENCES) if is_plain else _spans(group), " "]
    return [*([" "] if text[:1].isspace() else []), *(pieces if text[-1:].isspace() else pieces[:-1])]


def _join(pieces: list[str]) -> str:
    """Join pieces; two code spans never touch, or their fences would be one."""
    joined = ""
    for piece in pieces:
        joined += f" {piece}" if joined[-1:] == "`" and piece[:1] == "`" else piece
    return joined.strip()


def _is_plain(word: str) -> bool:
    return _PLAIN.fullmatch(word) is not None and _TRIGGERS.search(word) is None


def _spans(text: str) -> str:
    """Write code spans around the signs that end the cell of a table, also inside a span."""
    return "&#124;".join(_span(part) for part in text.split("|"))


def _span(text: str) -> str:
    if not text:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    is_stripped = text[0] == text[-1] == " " and text.strip(" ")  # one space of each side would be lost
    pad = " " if text[0] == "`" or text[-1] == "`" or is_stripped else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _guard_start(text: str) -> str:
    """Keep the first sign from starting a list, a heading, a quotation or a rule."""
    return f"&#{ord(text[0])};{text[1:]}" if _STARTS.match(text) else text
