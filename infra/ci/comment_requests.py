"""Requests to the API of GitHub or GitLab: what is refused is said with the cure, and without the token."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_LOCAL = {"127.0.0.1", "localhost", "::1"}


class Wrong(Exception):
    """Something is set wrong, or the token may not do it: exit code 2."""


class Busy(Exception):
    """The service did not answer, or not now: exit code 6."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Service:
    """Where comments are kept, and how to ask for them."""

    name: str
    comments: str
    """Address that lists the comments of the request and takes new ones."""
    one: str
    """Address of one comment, before its id."""
    me: str | None
    """Address that says whose the token is; None: ``login`` is known."""
    login: str
    """Who writes: a comment of anybody else is never touched."""
    update: str
    """HTTP method."""
    headers: dict[str, str]


def service_of(environment: Mapping[str, str]) -> Service:
    """Find out where this runs."""
    number = _needed(environment, "COMMENT_NUMBER", r"[0-9]{1,12}")
    token = _needed(environment, "COMMENT_TOKEN", r"[\x21-\x7e]+", secret=True)
    if environment.get("GITHUB_ACTIONS") == "true":
        root = _address(environment, "GITHUB_API_URL")
        project = _needed(environment, "GITHUB_REPOSITORY", r"[\w.-]+/[\w.-]+")
        return Service(
            name="GitHub",
            comments=f"{root}/repos/{project}/issues/{number}/comments",
            one=f"{root}/repos/{project}/issues/comments",
            me=None,
            login=environment.get("COMMENT_AUTHOR") or "github-actions[bot]",
            update="PATCH",
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
    if environment.get("GITLAB_CI") == "true":
        root = _address(environment, "CI_API_V4_URL")
        project = _needed(environment, "CI_PROJECT_ID", r"[0-9]{1,12}")
        notes = f"{root}/projects/{project}/merge_requests/{number}/notes"
        return Service(
            name="GitLab",
            comments=notes,
            one=notes,
            me=f"{root}/user",
            login="",
            update="PUT",
            headers={"PRIVATE-TOKEN": token},
        )
    raise Wrong("this is neither GitHub Actions nor GitLab CI: GITHUB_ACTIONS and GITLAB_CI are not 'true'.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes to the address that was set and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def ask(
    service: Service,
    method: str,
    address: str,
    content: dict[str, str] | None = None,
    *,
    missing_ok: bool = False,
) -> tuple[Any, bool]:
    """Send one request; returns the answer (None: it is gone), and whether this was the last page."""
    data = None if content is None else json.dumps(content).encode()
    headers = {**service.headers, "User-Agent": "groundwork", "Content-Type": "application/json"}
    request = urllib.request.Request(address, data=data, method=method, headers=headers)
    try:
        with _OPENER.open(request, timeout=30) as answer:
            text = answer.read()
            return (json.loads(text) if text else None), _is_last(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            if missing_ok and error.code in (404, 410):
                return None, True
            raise _refused(service, method, address, error) from None
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise Busy(f"{service.name} gives no answer to {_shown(method, address)} ({reason}).") from None


def _is_last(headers: Message) -> bool:
    if "X-Next-Page" in headers:  # GitLab
        return not headers["X-Next-Page"]
    return 'rel="next"' not in (headers["Link"] or "")


def _refused(service: Service, method: str, address: str, error: urllib.error.HTTPError) -> Exception:
    what = f"{service.name} answered {error.code} to {_shown(method, address)}{_message(error, service)}."
    limited = error.code == 403 and error.headers.get("X-RateLimit-Remaining") == "0"
    if error.code in _BUSY or limited or error.headers.get("Retry-After"):
        after = error.headers.get("Retry-After") or ""
        return Busy(what, float(after) if after.isdigit() else 0.0)
    cures = {
        "GitHub": "give the job `permissions: pull-requests: write`; a fork's token may only read",
        "GitLab": "COMMENT_TOKEN must be a project access token with the scope `api` and the role Reporter",
    }
    if error.code in (401, 403):
        return Wrong(f"{what} The token may not do this: {cures[service.name]}.")
    if error.code == 404:
        return Wrong(
            f"{what} Check COMMENT_NUMBER; a token that may not see the project gets this too: "
            f"{cures[service.name]}."
        )
    if 300 <= error.code < 400:
        return Wrong(f"{what} The address of the API has moved: a token is not sent after it.")
    return Wrong(what)


def _message(error: urllib.error.HTTPError, service: Service) -> str:
    """Return what the service says, without anything that a log should not hold."""
    try:
        document = json.loads(error.read(100_000))
        text = str(document.get("message") or document.get("error") or "")
    except (ValueError, OSError, AttributeError):
        return ""
    for secret in service.headers.values():
        text = text.replace(secret.rpartition(" ")[2], "***")
    text = "".join(letter if letter.isprintable() else " " for letter in text)[:200].strip()
    return f" ({text})" if text else ""


def _shown(method: str, address: str) -> str:
    return f"{method} {urllib.parse.urlsplit(address).path}"


def _needed(environment: Mapping[str, str], name: str, form: str, *, secret: bool = False) -> str:
    value = environment.get(name, "")
    if not value:
        raise Wrong(f"{name} is not set.")
    if not re.fullmatch(form, value):
        raise Wrong(f"{name} has another form than expected{'' if secret else f': {value[:80]!r}'}.")
    return value


def _address(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").rstrip("/")
    parts = urllib.parse.urlsplit(value)
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _LOCAL):
        raise Wrong(f"{name} must be an https address, got {value[:80]!r}: a token is sent there.")
    return value


def pause_of(environment: Mapping[str, str]) -> float:
    """Return the seconds before the second attempt."""
    value = environment.get("COMMENT_PAUSE", "2")
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", value):
        raise Wrong(f"COMMENT_PAUSE must be seconds, got {value[:80]!r}.")
    return float(value)
