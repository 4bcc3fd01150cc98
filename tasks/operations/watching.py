"""Measure the champion again on frozen data: equal bytes must give equal numbers."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.data.strict_json import read_json
from tasks.errors import GateRejected
from tasks.operations import layout
from tasks.operations.circumstances import override_sentence, today
from tasks.operations.evaluating import evaluate_into
from tasks.operations.locating import find_model
from tasks.services.bundles import open_bundles
from tasks.services.champion import Champion, standing_champion
from tasks.services.ledger import open_ledger
from tasks.services.ledger_entry import override_behind
from tasks.services.settings import Settings

TOLERANCE = 0.005
"""Largest change of a metric that another machine's arithmetic explains."""


def watch_champion(
    repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Predict and evaluate with the champion anew and compare with what it was promoted on.

    Returns:
        ``verdict`` ``steady``, ``drift`` or ``none``, and the metrics that moved.

    Raises:
        GateRejected: If the champion stands by an override whose last day is over; said after the measuring.
        UnavailableError: If the champion or the data cannot be read.
    """
    champion = standing_champion(layout.MODEL_NAME, open_ledger(settings), open_bundles(settings))
    if champion is None:
        return {"verdict": "none", "summary": "there is no champion to watch: run `groundwork run --first`"}
    found = _compare(champion, repository, settings)
    say(found["summary"])
    refuse_ended_override(settings)
    return found


def refuse_ended_override(settings: Settings) -> str:
    """Refuse a champion whose override is over, and say by what the champion stands otherwise.

    Raises:
        GateRejected: With who, when and why.
    """
    entry = override_behind(open_ledger(settings).history(layout.MODEL_NAME))
    if entry is None:
        return "none: no champion stands by an override"
    if entry.is_over(today()):
        raise GateRejected(
            f"it stands {override_sentence(entry)}.",
            obj=f"champion {entry.bundle_id}",
            hint="Promote what the gate accepts, renew it: `groundwork promote --override --why ... "
            "--until ...`, or go back: `groundwork rollback --why ...`.",
        )
    return f"champion {entry.bundle_id} stands {override_sentence(entry)}"


def _compare(champion: Champion, repository: Path, settings: Settings) -> dict[str, Any]:
    before = read_json(champion.bundle / "evaluation" / "metrics.json")
    with tempfile.TemporaryDirectory(prefix="groundwork-watch-") as folder:
        after = read_json(
            evaluate_into(Path(folder), find_model("champion", settings).folder, repository) / "metrics.json"
        )
    if before["dataset"]["sha256"] != after["dataset"]["sha256"]:
        summary = "the data is another than the champion was promoted on: run `groundwork run`"
        return {"verdict": "none", "summary": summary}
    then, now = (_values(document) for document in (before, after))
    moved = {
        name: [then.get(name), now.get(name)]
        for name in then | now
        if abs(then.get(name, -1.0) - now.get(name, -1.0)) > TOLERANCE
    }
    verdict = "drift" if moved else "steady"
    what = f"{len(moved)} metrics moved: {', '.join(moved)}" if moved else f"{len(then)} metrics as they were"
    summary = f"champion {champion.entry.bundle_id}: {verdict}, {what}"
    return {"verdict": verdict, "moved": moved, "summary": summary}


def _values(document: dict[str, Any]) -> dict[str, float]:
    return {item["name"]: item["value"] for item in document["metrics"]}
