"""A page opened in a real browser: what it became, and what it asked the network for."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BINARY is None, reason="no chromium or google-chrome on this machine")
_OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever is asked for, nothing leaves the machine
)
_OF_BROWSER = "not an origin"
"""Who asks for the updates of the browser itself."""


@dataclass(frozen=True)
class Opened:
    """What is left when a page has loaded."""

    title: str
    dom: str
    requests: list[str]
    """Addresses that the page asked for over a network."""


def open_page(page: Path, folder: Path) -> Opened:
    """Open a file, wait until it has loaded, and read the browser's own log of the network."""
    assert BINARY is not None
    log = folder / "network.json"
    options = [*_OPTIONS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    done = subprocess.run(
        [BINARY, *options, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    _, _, rest = done.stdout.partition("<title>")
    return Opened(title=rest.partition("</title>")[0], dom=done.stdout, requests=_requests(log))


def _requests(log: Path) -> list[str]:
    document = json.loads(log.read_text(encoding="utf-8"))
    start = document["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    every = [event.get("params", {}) for event in document["events"] if event["type"] == start]
    return [
        params["url"]
        for params in every
        if "url" in params
        and params.get("initiator") != _OF_BROWSER
        and not params["url"].startswith(("file:", "data:"))
    ]
