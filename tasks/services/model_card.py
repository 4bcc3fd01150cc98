"""The card of a version in the model registry: how it became champion, in its description and its tags.

It is derived from the promotion ledger, as the alias is, and can be written again at any time.
"""

import re

from tasks.services.ledger_entry import Entry
from tasks.services.tracking import Tracker, named_errors

KIND, ENTRY, DECISION = "groundwork.promotion", "groundwork.ledger_entry", "groundwork.decision_id"
OVERRIDE = "groundwork.override"
"""Tag of a version: who overruled the gate, until when and why; ``none`` where the gate promoted it."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+.!|~-])")


def write_card(tracker: Tracker, entry: Entry, version: str, *, verdict: str) -> None:
    """Write tags and description of the version that an entry made champion.

    Args:
        tracker: Connection to MLflow.
        entry: The promotion or override.
        version: In the registry.
        verdict: What the gate had said.

    Raises:
        UnavailableError: If MLflow does not answer; calling again completes the card.
    """
    tags = {
        KIND: entry.kind,
        ENTRY: str(entry.sequence),
        DECISION: entry.overrules or entry.decision_id,
        OVERRIDE: "none" if entry.until is None else f"until {entry.until} by {entry.who}: {entry.why}",
    }
    with named_errors(tracker.uri):
        for name, value in tags.items():
            tracker.client.set_model_version_tag(entry.model, version, name, value)
        tracker.client.update_model_version(entry.model, version, description=card(entry, verdict=verdict))


def card(entry: Entry, *, verdict: str) -> str:
    """Return the description, Markdown; what people wrote is shown as text, never as markup."""
    lines = [f"Bundle `{entry.bundle_id}`, dataset `{entry.dataset_sha256[:12]}`.", ""]
    if entry.until is not None:
        lines += [
            f"**Champion by override until {entry.until}.** The gate said {verdict}.",
            "",
            f"- who: {_plain(entry.who)}",
            f"- when: {entry.when}",
            f"- why: {_plain(entry.why)}",
        ]
    else:
        lines += [f"Promoted by the gate, {entry.when}, {_plain(entry.who)}."]
    lines += ["", f"Decision `{entry.overrules or entry.decision_id}`, entry {entry.sequence} of the ledger."]
    if entry.policy_sha256 is not None:
        lines.append(f"Policy `{entry.policy_sha256[:12]}`.")
    rows = [f"| {name} | {value:.4f} |" for name, value in entry.metrics.items()]
    return "\n".join([*lines, *(["", "| metric | value |", "|---|---|", *rows] if rows else [])])


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
