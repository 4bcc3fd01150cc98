"""``groundwork eval``: metrics of a model, and what the gate says of it against another one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flows.commands.run import bring_up_to_date
from flows.console import JsonOption, emit, errors_for_people, listen, repository, table

if TYPE_CHECKING:
    from tasks.operations.challenging import Question


def evaluate(
    model: str | None = typer.Option(
        None,
        help="A segmenter directory, `champion`, a bundle id, or models:/<name>/<version> or @<alias> of the "
        "registry. Default: the current candidate.",
    ),
    data: str | None = typer.Option(
        None,
        help="Dataset version: sha256 of `groundwork data show` (8 digits or more) or a git revision. "
        "Default: the data of the checkout.",
    ),
    against: str | None = typer.Option(None, help="Another model, e.g. `champion`: let the gate decide."),
    policy: Path | None = typer.Option(
        None, help="Rules of the gate. Default: configs/gates/segmenter.yaml."
    ),
    first: bool = typer.Option(
        False, "--first", help="With --against champion: judge by the limits alone if there is none yet."
    ),
    out: Path | None = typer.Option(
        None, help="With --against: folder for decision.json, summary.md, metrics and the page."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Evaluate a model on val and print the metrics; with --against, judge it and change nothing.

    Exit code 4 unless the gate would promote, 5 if something was changed, 6 if something is missing.

    Examples: `groundwork eval` · `groundwork eval --model champion --json` ·
    `groundwork eval --model models:/segmenter/7 --data v1.2 --against champion --out report --json`
    """
    with errors_for_people(as_json=as_json):
        _refuse_unused({"--policy": policy, "--first": first or None, "--out": out}, against)
        if model is None and data is None and against is None:
            _show_candidate(as_json=as_json)
            return
        if model is None:
            bring_up_to_date("configure_segmenter")
            from tasks.operations import layout

            model = str(repository() / layout.MODEL)
        if against is None:
            _measure(model, data, as_json=as_json)
            return
        from tasks.operations.challenging import Question

        question = Question(model=model, against=against, data=data, policy=policy, first=first)
        _judge(question, None if out is None else out.resolve(), as_json=as_json)


def _refuse_unused(given: dict[str, object], against: str | None) -> None:
    from tasks.errors import UsageError

    unused = [name for name, value in given.items() if value is not None]
    if against is None and unused:
        raise UsageError(
            f"{', '.join(unused)} matters to a decision only, and none is asked for.",
            obj="groundwork eval",
            hint="Add --against champion, or leave it out.",
        )


def _show_candidate(*, as_json: bool) -> None:
    from tasks.operations import layout

    bring_up_to_date(layout.LAST_STAGE)
    _show_metrics(repository() / layout.EVALUATION / "metrics.json", as_json=as_json)


def _measure(model: str, data: str | None, *, as_json: bool) -> None:
    from tasks.operations.measuring import measure_model
    from tasks.services.settings import Settings

    say = listen()
    root = repository()
    measured = measure_model(model, root, Settings.load(root), data=data, say=say)
    _show_metrics(measured.evaluation / "metrics.json", as_json=as_json)


def _judge(question: "Question", out: Path | None, *, as_json: bool) -> None:
    from tasks.data.target_directory import check_target
    from tasks.errors import GroundworkError
    from tasks.operations import challenge_files as files
    from tasks.operations.challenging import EVAL_SCHEMA, judge_against
    from tasks.services.settings import Settings

    say = listen()
    root = repository()
    if out is not None:
        check_target(out, schema=EVAL_SCHEMA)
    try:
        answer = judge_against(question, root, Settings.load(root), say=say)
        if out is not None:
            files.write_answer(question, answer, out)
    except GroundworkError as error:
        if out is not None:
            files.write_failure(question, error, out)
        if not as_json:
            raise
        emit(files.describe_failure(question, error), as_json=True)
        raise typer.Exit(error.exit_code) from error
    document = files.describe_answer(question, answer, out)
    emit(document, as_json=as_json, lines=_lines(document))
    if answer.exit_code:
        raise typer.Exit(answer.exit_code)


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"verdict: {document['verdict']}", *(f"  {reason}" for reason in document["reasons"])]
    lines += [f"  note: {remark}" for remark in document["remarks"]]
    rows = [(name, document[name]) for name in ("decision", "out", "page") if document[name]]
    return [*lines, "", *table("", ("written", "where"), rows)]


def _show_metrics(path: Path, *, as_json: bool) -> None:
    from tasks.data.strict_json import read_json

    document = read_json(path)
    rows = [
        (item["name"], f"{item['value']:.4f}", item["unit"], item["count"]) for item in document["metrics"]
    ]
    rows += [(name, "undefined", reason, "") for name, reason in document["undefined"].items()]
    emit(document, as_json=as_json, lines=table("", ("metric", "value", "unit", "count"), rows))
