"""Measure the champion again on frozen data: equal bytes must give equal numbers."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.data.strict_json import read_json
from tasks.operations import layout
from tasks.operations.evaluating import evaluate_into, locate_model
from tasks.services.bundles import open_bundles
from tasks.services.champion import standing_champion
from tasks.services.ledger import open_ledger
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
        UnavailableError: If the champion or the data cannot be read.
    """
    champion = standing_champion(layout.MODEL_NAME, open_ledger(settings), open_bundles(settings))
    if champion is None:
        return {"verdict": "none", "summary": "there is no champion to watch: run `groundwork run --first`"}
    before = read_json(champion.bundle / "evaluation" / "metrics.json")
    with tempfile.TemporaryDirectory(prefix="groundwork-watch-") as folder:
        after = read_json(
            evaluate_into(Path(folder), locate_model("champion", settings), repository) / "metrics.json"
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
    say(summary)
    return {"verdict": verdict, "moved": moved, "summary": summary}


def _values(document: dict[str, Any]) -> dict[str, float]:
    return {item["name"]: item["value"] for item in document["metrics"]}
