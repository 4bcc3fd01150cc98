"""Ask the gate about any two models on the same data; nothing is promoted, registered or counted.

The decision is kept apart from those that promote: `tasks.operations.judging` makes those.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation.definition import DETECTION
from evaluation.gate import Decision, Evidence, Policy, decide
from tasks.config import load_file
from tasks.data.commit import commit_directory, verify_directory
from tasks.data.strict_json import read_json
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.operations import layout
from tasks.operations.candidate import Candidate
from tasks.operations.circumstances import Circumstances, look_up
from tasks.operations.judging import DECISION_SCHEMA, read_evidence
from tasks.operations.locating import CHAMPION
from tasks.operations.measuring import MeasuredModel, measure_model
from tasks.services.ledger import Entries, Ledger, open_ledger
from tasks.services.settings import Settings

EVAL_SCHEMA = "groundwork.eval/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who is judged against whom, on what and by which rules."""

    model: str
    """What `tasks.operations.measuring.measure_model` takes."""
    against: str
    """The same."""
    data: str | None = None
    """A dataset version; None: the data of the checkout."""
    policy: Path | None = None
    """File with the rules; None: those by which a segmenter becomes champion."""
    first: bool = False
    """Judge by the limits alone if there is no champion yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the gate says."""

    decision: dict[str, Any]
    """Content of decision.json, the only source of every message."""
    path: Path
    """decision.json in its committed directory."""
    policy: Path
    model: MeasuredModel
    against: MeasuredModel | None
    """None: there is no champion, and the question allowed it."""

    @property
    def exit_code(self) -> int:
        """Return 0 if the model may replace the other one, else 4."""
        return 0 if self.decision["verdict"] == "promote" else 4


def judge_against(
    question: Question,
    repository: Path,
    settings: Settings,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Measure both models on the same data and let the gate decide.

    Args:
        question: Who, on what, by which rules.
        repository: Root of the project. Nothing in it is changed.
        settings: Where things are kept.
        say: Told what is going on.

    Raises:
        UsageError: If the rules are of other metrics, or a name means nothing.
        UnavailableError: If a model, the data or a service is missing: an absent champion is not "no champion
            to lose against".
        GateRejected: If the rules seal the split.
        DataError: If the data breaks a rule.
        IntegrityError: If something was changed.
    """
    path = repository / layout.GATE if question.policy is None else question.policy.resolve()
    policy = load_file(path, Policy)
    if policy.definition != DETECTION.name:
        raise UsageError(
            f"judges by {policy.definition}, a segmenter is measured by {DETECTION.name}.",
            obj=str(path),
            hint="Name rules of a segmenter with --policy.",
        )
    ledger = open_ledger(settings)
    against = _opponent(question, ledger)
    mine = measure_model(question.model, repository, settings, data=question.data, say=say)
    known = _circumstances(mine, policy, ledger, settings, is_champion=question.against == CHAMPION)
    theirs = None
    if against is not None:
        theirs = measure_model(against, repository, settings, data=question.data, say=say)
    decision = decide(
        _evidence(mine),
        None if theirs is None else _evidence(theirs),
        policy,
        first=question.first,
        withdrawn=known.withdrawn,
        uses=known.uses,
        remarks=(*_about_twins(mine, theirs), *known.remarks),
    )
    kept = _keep(decision, settings)
    return Answer(decision=read_json(kept), path=kept, policy=path, model=mine, against=theirs)


def _opponent(question: Question, ledger: Ledger) -> str | None:
    if question.against != CHAMPION or ledger.champion(layout.MODEL_NAME) is not None:
        return question.against
    if question.first:
        return None
    raise UnavailableError(
        "there is no champion to compare with.",
        obj=layout.MODEL_NAME,
        hint="Make one with `groundwork run --first`, or judge by the limits alone: add --first.",
    )


def _circumstances(
    model: MeasuredModel, policy: Policy, ledger: Ledger, settings: Settings, *, is_champion: bool
) -> Circumstances:
    """Return what the gate would be told if this were a promotion, without counting the look."""
    asked = Candidate(
        bundle_id=_name(model),
        folder=model.evaluation.parent,
        model_sha256=model.model_sha256,
        dataset_sha256=model.dataset_sha256,
        metrics={},
        lineage={},
    )
    imagined = replace(ledger, entries=_Imagined(ledger.entries))
    known = look_up(asked, policy, imagined, settings, promoting=False)
    return known if is_champion else replace(known, withdrawn=None, remarks=())


def _about_twins(mine: MeasuredModel, theirs: MeasuredModel | None) -> list[str]:
    is_same = theirs is not None and mine.model_sha256 == theirs.model_sha256
    return ["Both are the very same model: nothing is better than itself."] if is_same else []


@dataclass(frozen=True, slots=True)
class _Imagined:
    """Lines of a ledger to which nothing is written: what would be added is there for this reader alone."""

    entries: Entries
    added: dict[str, list[str]] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.entries.source

    def read(self, model: str) -> list[str]:
        return [*self.entries.read(model), *self.added.get(model, [])]

    def create(self, model: str, sequence: int, decision_id: str, document: str) -> bool:
        self.added.setdefault(model, []).append(document)
        return True


def _evidence(model: MeasuredModel) -> Evidence:
    return read_evidence(model.evaluation, _name(model), model.sequence)


def _name(model: MeasuredModel) -> str:
    """Return the bundle of a model, or for one that is in none what cannot be taken for a bundle."""
    return model.bundle_id or f"model:{model.model_sha256[:16]}"


def _keep(decision: Decision, settings: Settings) -> Path:
    """Write a decision under the hash of its content; the same answer is the same file."""
    content = (json.dumps(decision.to_json(), indent=1, allow_nan=False) + "\n").encode()
    folder = settings.home / "challenges" / hashlib.sha256(content).hexdigest()[:16]
    path = folder / "decision.json"
    if not _is_kept(path, content):
        commit_directory(folder, lambda staging: _write(staging / path.name, content), schema=DECISION_SCHEMA)
    return path


def _is_kept(path: Path, content: bytes) -> bool:
    try:
        verify_directory(path.parent, schema=DECISION_SCHEMA)
        return path.read_bytes() == content
    except (IntegrityError, OSError):
        return False


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
