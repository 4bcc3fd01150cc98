"""Bring two models that answer referring expressions before the gate, and keep the decision as a file."""

import json
from pathlib import Path
from typing import Any, Final

from evaluation.evidence import Evidence
from evaluation.gate import Decision, Policy, decide
from tasks.config import load_file
from tasks.data.commit import commit_directory
from tasks.data.referring_evaluations import METRICS, ReferringEvaluation, check_alike, read_evaluation
from tasks.data.strict_json import read_json
from tasks.data.target_directory import check_target
from tasks.errors import IntegrityError

DECISION_SCHEMA: Final = "groundwork.decision/1"
DECISION: Final = "decision.json"


def judge_referring(
    candidate: Path, against: Path | None, *, policy: Path, out: Path, first: bool = False
) -> dict[str, Any]:
    """Judge one evaluated model against another, and commit ``decision.json``.

    Args:
        candidate: Evaluation directory of the model to judge.
        against: The same of the champion; None: there is none.
        policy: YAML file of the rules.
        out: Directory to create, or to replace if it holds a decision.
        first: Allow a promotion although there is no champion.

    Returns:
        The content of ``decision.json``.

    Raises:
        UsageError: If the policy is malformed, or ``out`` holds something else.
        UnavailableError: If an evaluation is absent.
        IntegrityError: If an evaluation was damaged, or policy and evaluations are not about the same
            definition, dataset and split. Then there is no decision, so nothing is promoted.
    """
    check_target(out, schema=DECISION_SCHEMA)
    rules = load_file(policy, Policy)
    mine = read_evaluation(candidate)
    theirs = None if against is None else read_evaluation(against)
    _check_rules(mine, candidate, rules, policy)
    if theirs is not None and against is not None:
        check_alike(mine, theirs, against)
    champion = None if theirs is None or against is None else _to_evidence(theirs, against)
    return _keep(decide(_to_evidence(mine, candidate), champion, rules, first=first), out)


def _to_evidence(evaluation: ReferringEvaluation, folder: Path) -> Evidence:
    try:
        return Evidence.from_expressions(
            evaluation.metrics,
            definition=evaluation.expressions.definition,
            per_expression=evaluation.expressions.per_expression,
            bundle_id=evaluation.sha256[:16],
        )
    except ValueError as error:
        hint = "Make it with `groundwork referring evaluate`."
        raise IntegrityError(str(error), obj=str(folder / METRICS), hint=hint) from error


def _check_rules(evaluation: ReferringEvaluation, folder: Path, rules: Policy, policy: Path) -> None:
    """Refuse a policy that is about something else: the candidate is not at fault then."""
    if evaluation.about["definition"] != rules.definition:
        raise IntegrityError(
            f"was scored by {evaluation.about['definition']!r}, {policy} judges {rules.definition!r}.",
            obj=str(folder),
            hint="Name the policy of that kind: boxes and masks have one each.",
        )
    if evaluation.about["split"] != rules.split:
        raise IntegrityError(
            f"is about split {evaluation.about['split']!r}, {policy} judges {rules.split!r}.",
            obj=str(folder),
            hint="Evaluate that split, or name a policy for this one.",
        )


def _keep(decision: Decision, out: Path) -> dict[str, Any]:
    content = json.dumps(decision.to_json(), indent=1, allow_nan=False) + "\n"

    def write(folder: Path) -> None:
        (folder / DECISION).write_text(content, encoding="utf-8")

    commit_directory(out, write, schema=DECISION_SCHEMA)
    document: dict[str, Any] = read_json(out / DECISION)
    return document
