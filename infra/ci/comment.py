"""Keep one comment of a pull or merge request up to date. Standard library only: no set-up is needed.

    python3 comment.py report/comment.md

Runs in GitHub Actions and in GitLab CI; README.md beside it names the variables it reads. Doing it again
changes nothing, and after a lost answer it looks again before it writes. Exit codes: 0 done, 2 something is
set wrong or not allowed, 6 the service does not answer (running it again may help).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comment_requests import Busy, Service, Wrong, ask, pause_of, service_of
from comment_text import compose, marker_of, read_text

ATTEMPTS = 4
_PAGE = 100
_MOST_PAGES = 1000


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Read the text, write the comment, say what was done."""
    if len(arguments) != 1:
        sys.stderr.write(__doc__)
        return 2
    try:
        body = compose(read_text(Path(arguments[0])), environment)
        outcome = keep(service_of(environment), body, marker_of(environment), pause=pause_of(environment))
    except Wrong as error:
        sys.stderr.write(f"comment: {error}\n")
        return 2
    except Busy as error:
        sys.stderr.write(f"comment: {error} Run it again later.\n")
        return 6
    sys.stdout.write(f"{outcome}\n")
    return 0


def keep(service: Service, body: str, marker: str, *, pause: float = 2.0) -> str:
    """Create the comment, or change the one that is there; returns what was done.

    Each attempt looks first: an attempt whose answer was lost may have written.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return _keep_once(service, body, marker)
        except Busy as error:
            wait = min(max(error.wait, pause * 2**attempt), 60.0)
            sys.stderr.write(f"comment: {error} Trying again in {wait:g} s.\n")
            time.sleep(wait)
    return _keep_once(service, body, marker)


def _keep_once(service: Service, body: str, marker: str) -> str:
    mine = _mine(service, marker)
    if not mine:
        made = ask(service, "POST", service.comments, {"body": body})[0]
        return f"created comment {made['id']}"
    first, *others = mine
    for other in others:  # two runs at the same moment
        ask(service, "DELETE", f"{service.one}/{other['id']}", missing_ok=True)
    if _same(first["body"], body):
        return f"comment {first['id']} is up to date"
    changed = ask(service, service.update, f"{service.one}/{first['id']}", {"body": body}, missing_ok=True)[0]
    if changed is None:
        raise Busy(f"comment {first['id']} went away meanwhile.")
    return f"updated comment {first['id']}"


def _mine(service: Service, marker: str) -> list[dict[str, Any]]:
    """Return our comments with the marker, the oldest first."""
    login = service.login or str(ask(service, "GET", str(service.me))[0]["username"])
    found = []
    for page in range(1, _MOST_PAGES + 1):
        comments, is_last = ask(service, "GET", f"{service.comments}?per_page={_PAGE}&page={page}")
        if not isinstance(comments, list):
            raise Wrong(
                f"{service.name} did not answer with a list of comments: check the address of its API."
            )
        found += [item for item in comments if _author(item) == login and _starts(item, marker)]
        if is_last:
            break
    return sorted(found, key=lambda item: int(item["id"]))


def _author(comment: dict[str, Any]) -> str:
    user = comment.get("user") or comment.get("author") or {}
    return str(user.get("login") or user.get("username") or "")


def _starts(comment: dict[str, Any], marker: str) -> bool:
    return str(comment.get("body") or "").split("\n", 1)[0].strip() == marker


def _same(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n").strip() == other.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
