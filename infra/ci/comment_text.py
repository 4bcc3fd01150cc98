"""The text of the comment: a hidden marker, the report, the commit; never longer than a service takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from comment_requests import Wrong

LIMIT = 65_536
"""Characters that GitHub takes; GitLab takes more."""
NO_REPORT = (
    "## Evaluation gate: ⚠️ no decision\n\n"
    "The evaluation ended before it wrote a report, so nothing may be promoted. Its log says why."
)


def read_text(path: Path) -> str:
    """Read the text of the comment; where there is none, say so: an old verdict must not stay."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"{path} cannot be read ({type(error).__name__}): make it with evaluate.sh.") from None
    return text or NO_REPORT


def compose(text: str, environment: Mapping[str, str], limit: int = LIMIT) -> str:
    """Put the hidden marker before the text and the commit after it, and keep within the limit."""
    commit = environment.get("COMMENT_COMMIT", "")
    if commit and not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        raise Wrong(f"COMMENT_COMMIT must be a commit, got {commit[:80]!r}.")
    end = f"\n\n<sub>About commit {commit}. This comment is kept up to date.</sub>" if commit else ""
    head = marker_of(environment) + "\n"
    return head + shorten(text, limit - length(head) - length(end)) + end


def marker_of(environment: Mapping[str, str]) -> str:
    """Return the line by which the comment is found again; a reader does not see it."""
    key = environment.get("COMMENT_KEY", "evaluate")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", key):
        raise Wrong(f"COMMENT_KEY must be lower-case letters, digits and '-', got {key[:80]!r}.")
    return f"<!-- groundwork:{key} -->"


def length(text: str) -> int:
    """Count as the services do at most: a sign outside the basic plane counts twice."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def shorten(text: str, limit: int) -> str:
    """Leave out whole rows of tables and lists, the last ones first, until the text fits; and say so."""
    if length(text) <= limit:
        return text
    lines = text.split("\n")
    spare = length(text) - limit + 160  # room for the sentence that says so
    left_out = 0
    for place in reversed(range(len(lines))):
        line = lines[place]
        if spare <= 0:
            break
        if line.startswith("- ") or (line.startswith("| ") and _is_row(lines, place)):
            spare -= length(line) + 1
            left_out += 1
            del lines[place]
    note = f"*{left_out} rows and reasons were left out to fit a comment; the kept report holds all of them.*"
    short = "\n".join([*lines, "", note])
    if length(short) > limit:
        raise Wrong(f"the text has {length(text)} characters besides its rows, {limit} fit: shorten it.")
    return short


def _is_row(lines: list[str], place: int) -> bool:
    """Say whether a line of a table is neither its head nor the rule below that."""
    above = place - 1
    while above >= 0 and lines[above].startswith("| "):
        above -= 1
    return place - above > 2
