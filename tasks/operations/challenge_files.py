"""What a judged evaluation leaves for others: one JSON document, and a folder that a build can keep."""

import json
import shutil
from pathlib import Path
from typing import Any

from tasks.data.commit import commit_directory
from tasks.data.target_directory import check_target
from tasks.errors import GroundworkError
from tasks.operations.challenging import EVAL_SCHEMA, Answer, Question
from tasks.operations.measuring import MeasuredModel
from tasks.report.comparison import PAGE, ComparisonInputs, ModelSide, render_comparison
from tasks.report.markdown import render_decision, render_failure

_PARTS = ("reasons", "objections", "comparisons", "floors")


def describe_answer(question: Question, answer: Answer, out: Path | None) -> dict[str, Any]:
    """Return the one document that the command prints."""
    decision = answer.decision
    return {
        "schema": EVAL_SCHEMA,
        "exit_code": answer.exit_code,
        "verdict": decision["verdict"],
        **{name: decision[name] for name in _PARTS},
        "remarks": decision.get("remarks", []),
        "model": _describe(answer.model),
        "against": None if answer.against is None else _describe(answer.against),
        "data": {"version": question.data or "checkout", "sha256": decision["dataset_sha256"]},
        "policy": {"path": str(answer.policy), "sha256": decision["policy_sha256"]},
        "definition": {"name": decision["definition"]["name"], "sha256": decision["definition_sha256"]},
        "decision_id": decision["decision_id"],
        "decision": str(answer.path),
        "out": None if out is None else str(out),
        "page": None if out is None or answer.against is None else str(out / "comparison" / PAGE),
    }


def describe_failure(question: Question, error: GroundworkError) -> dict[str, Any]:
    """Return the document of an evaluation that ended without a decision."""
    return {
        "schema": EVAL_SCHEMA,
        "exit_code": error.exit_code,
        "verdict": None,
        "error": error.as_dict(),
        "model": {"name": question.model},
        "against": {"name": question.against},
        "data": {"version": question.data or "checkout"},
    }


def write_answer(question: Question, answer: Answer, out: Path) -> None:
    """Fill a folder: decision, summary, page, and metrics with the tables behind them of both models.

    Raises:
        UsageError: If the folder holds something else.
    """
    check_target(out, schema=EVAL_SCHEMA)
    document = describe_answer(question, answer, out)

    def write(folder: Path) -> None:
        _write_texts(folder, document, render_decision(answer.decision))
        shutil.copyfile(answer.path, folder / "decision.json")
        shutil.copytree(answer.model.evaluation, folder / "model")
        if answer.against is not None:
            shutil.copytree(answer.against.evaluation, folder / "against")
            render_comparison(_page_inputs(answer, answer.against), folder / "comparison")

    commit_directory(out, write, schema=EVAL_SCHEMA)


def write_failure(question: Question, error: GroundworkError, out: Path) -> None:
    """Fill a folder with why there is no decision, so that nothing old is taken for the answer."""
    check_target(out, schema=EVAL_SCHEMA)
    document = describe_failure(question, error)
    text = render_failure(error.as_dict(), error.exit_code)
    commit_directory(out, lambda folder: _write_texts(folder, document, text), schema=EVAL_SCHEMA)


def _write_texts(folder: Path, document: dict[str, Any], summary: str) -> None:
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    (folder / "evaluation.json").write_text(text, encoding="utf-8")
    (folder / "summary.md").write_text(summary, encoding="utf-8")


def _describe(model: MeasuredModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "sha256": model.model_sha256,
        "bundle_id": model.bundle_id,
        "sequence": model.sequence,
        "path": str(model.model),
        "evaluation": str(model.evaluation),
    }


def _page_inputs(answer: Answer, against: MeasuredModel) -> ComparisonInputs:
    return ComparisonInputs(
        candidate=_side(answer.model),
        champion=_side(against),
        records=answer.model.records,
        about=answer.model.about,
        dataset=answer.model.dataset,
        decision=answer.path,
        made_at=None,
    )


def _side(model: MeasuredModel) -> ModelSide:
    return ModelSide(name=model.name, evaluation=model.evaluation, predictions=model.predictions)
