"""Bring the evidence before the gate and keep the decision as a file."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evaluation.gate import Decision, Evidence, Policy, decide
from tasks.config import load_file
from tasks.data.commit import commit_directory, read_manifest, verify_directory
from tasks.data.strict_json import read_json
from tasks.errors import IntegrityError, UnavailableError
from tasks.operations import layout
from tasks.operations.candidate import Candidate, assemble_candidate
from tasks.operations.circumstances import decision_file, look_up, override_sentence, today
from tasks.operations.evaluating import evaluate_model
from tasks.services import dvc
from tasks.services.bundles import open_bundles
from tasks.services.champion import Champion, standing_champion
from tasks.services.ledger import open_ledger
from tasks.services.ledger_entry import Entry, override_behind
from tasks.services.settings import Settings

DECISION_SCHEMA = "groundwork.decision/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A decision, and what it was about."""

    decision: dict[str, Any]
    """Content of decision.json, the only source of every report and message."""
    path: Path
    """decision.json in its committed directory."""
    outcome: str
    """``judged``, or ``reused`` where the same question was answered before."""
    candidate: Candidate
    champion_sequence: int
    """Entry of the ledger that the candidate was judged against; 0 if there was none."""
    champion_evaluation: Path | None
    """What the candidate was compared with."""
    in_force: bool
    """Whether the candidate is the champion already."""
    override: Entry | None = None
    """By which the candidate is champion although the gate did not promote it."""

    @property
    def verdict(self) -> str:
        """Return ``promote``, ``reject`` or ``inconclusive``."""
        return str(self.decision["verdict"])

    @property
    def reasons(self) -> list[str]:
        """Return the reasons as the gate gave them."""
        return list(self.decision["reasons"])

    @property
    def standing(self) -> str:
        """Return the verdict, or ``override`` while one holds that made the candidate champion."""
        holds = self.override is not None and not self.override.is_over(today())
        return "override" if holds else self.verdict

    @property
    def remarks(self) -> list[str]:
        """Return what a reader must know beside the reasons."""
        override = [] if self.override is None else [f"It is champion {override_sentence(self.override)}."]
        return [*override, *self.decision.get("remarks", ())]


def judge_candidate(
    repository: Path,
    settings: Settings,
    *,
    first: bool = False,
    promoting: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Judgement:
    """Judge the current candidate against the champion in force.

    A champion that was measured on other data or by another definition is measured again first. The look at
    the split is counted, once per model.

    Args:
        repository: Root of the project.
        settings: Where things are kept.
        first: Allow a promotion although there is no champion.
        promoting: Whether the decision is going to be applied; only then a sealed split is looked at.
        say: Told what is going on.

    Raises:
        GateRejected: If the split is sealed and this is no promotion.
        UnavailableError: If the champion or a part of the candidate cannot be read; a champion that is gone
            is never "no champion".
        IntegrityError: If something was damaged.
    """
    candidate = assemble_candidate(repository, settings)
    policy = load_file(repository / layout.GATE, Policy)
    ledger = open_ledger(settings)
    champion = standing_champion(layout.MODEL_NAME, ledger, open_bundles(settings))
    if champion is not None and champion.entry.bundle_id == candidate.bundle_id:
        return _standing(candidate, champion, settings)
    known = look_up(candidate, policy, ledger, settings, promoting=promoting)
    theirs = None if champion is None else _evaluation_of(champion, candidate, repository, settings, say)
    mine = read_evidence(candidate.folder / "evaluation", candidate.bundle_id, None)
    other = None
    if champion is not None and theirs is not None:
        other = read_evidence(theirs, champion.entry.bundle_id, champion.entry.sequence)
    decision = decide(
        mine,
        other,
        policy,
        first=first,
        withdrawn=known.withdrawn,
        uses=known.uses,
        remarks=known.remarks,
    )
    path, outcome = _keep(decision, settings)
    return Judgement(
        decision=read_json(path),
        path=path,
        outcome=outcome,
        candidate=candidate,
        champion_sequence=0 if champion is None else champion.entry.sequence,
        champion_evaluation=theirs,
        in_force=False,
    )


def require_current(repository: Path) -> None:
    """Refuse to judge artifacts that DVC would make anew.

    Raises:
        UnavailableError: With the stages.
    """
    names = {stage.name for stage in dvc.stages(repository, layout.LAST_STAGE)}
    stale = sorted(names & set(dvc.changed_stages(repository)))
    if stale:
        raise UnavailableError(
            f"data, code or parameters changed since {', '.join(stale)} ran.",
            obj="candidate",
            hint="Run `groundwork eval` first.",
        )


def read_evidence(evaluation: Path, bundle_id: str, sequence: int | None) -> Evidence:
    """Read a committed evaluation as evidence.

    Raises:
        IntegrityError: If it was damaged or is no evaluation.
    """
    verify_directory(evaluation)
    try:
        return Evidence.from_document(
            read_json(evaluation / "metrics.json"),
            per_image=pq.read_table(evaluation / "per_image.parquet").to_pandas(),
            matches=pq.read_table(evaluation / "matches.parquet").to_pandas(),
            bundle_id=bundle_id,
            sequence=sequence,
        )
    except (ValueError, OSError) as error:
        raise IntegrityError(
            f"is no evaluation ({error}).", obj=str(evaluation), hint="Run `groundwork eval`."
        ) from error


def _evaluation_of(
    champion: Champion,
    candidate: Candidate,
    repository: Path,
    settings: Settings,
    say: Callable[[str], None],
) -> Path:
    """Return an evaluation of the champion that can be compared with the candidate's."""
    metrics = read_json(champion.bundle / "evaluation" / "metrics.json")
    same_data = metrics["dataset"]["sha256"] == candidate.dataset_sha256
    if same_data and metrics["definition_sha256"] == candidate.metrics["definition_sha256"]:
        return champion.bundle / "evaluation"
    say("the champion was measured on other data or by another definition: measuring it again")
    return evaluate_model(champion.entry.bundle_id, repository, settings, say=say)


def _standing(candidate: Candidate, champion: Champion, settings: Settings) -> Judgement:
    """Return the decision that made this very bundle champion."""
    history = open_ledger(settings).history(layout.MODEL_NAME)
    origin = history[champion.entry.origin - 1]
    decision_id = origin.overrules or origin.decision_id
    path = decision_file(decision_id, settings)
    if not path.exists():
        raise UnavailableError(
            f"decision {decision_id} that made it champion is missing.",
            obj=f"bundle {candidate.bundle_id}",
            hint=f"Restore {path.parent} from a copy.",
        )
    verify_directory(path.parent, schema=DECISION_SCHEMA)
    decision = read_json(path)
    before = decision["champion"]
    theirs = None
    if before is not None:
        theirs = open_bundles(settings).fetch(before["bundle_id"]) / "evaluation"
        if read_json(theirs / "metrics.json")["dataset"]["sha256"] != candidate.dataset_sha256:
            theirs = None
    return Judgement(
        decision=decision,
        path=path,
        outcome="reused",
        candidate=candidate,
        champion_sequence=champion.entry.sequence,
        champion_evaluation=theirs,
        in_force=True,
        override=override_behind(history),
    )


def _keep(decision: Decision, settings: Settings) -> tuple[Path, str]:
    """Write a decision once; the same inputs have given the same decision before."""
    path = decision_file(decision.decision_id, settings)
    content = (json.dumps(decision.to_json(), indent=1, allow_nan=False) + "\n").encode()
    if path.exists() and path.read_bytes() == content:
        verify_directory(path.parent, schema=DECISION_SCHEMA)
        return path, "reused"
    commit_directory(path.parent, lambda folder: _write(folder / path.name, content), schema=DECISION_SCHEMA)
    return path, "judged"


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def dataset_name(repository: Path) -> str:
    """Return the name under which people know the dataset."""
    return str(read_manifest(repository / layout.DATASET).provenance.get("name", "dataset"))
