"""``groundwork run | train | eval``: bring models and metrics up to date."""

from pathlib import Path
from typing import Any

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table

SHOWN = ("box.recall50", "mask.recall50", "box.ap50", "mask.ap50", "mask.ap", "mask.matched_iou")


def run(
    source: Path | None = typer.Option(
        None, help="Dataset to import first. Default: `dataset.source` of params.yaml."
    ),
    first: bool = typer.Option(False, "--first", help="Allow a first champion where there never was one."),
    force: bool = typer.Option(False, "--force", help="Run every stage although nothing changed."),
    nightly: bool = typer.Option(
        False, "--nightly", help="Only if data or code changed; else watch the champion."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Run the release flow: version, validate, train, evaluate, judge, promote, report.

    Exit code 4 if the candidate was judged and not promoted, or the champion drifts. Interrupted, the same
    command resumes.

    Examples: `groundwork run --first` · `groundwork run --json` · `groundwork run --nightly`
    """
    with errors_for_people(as_json=as_json):
        from flows.prefect_setup import prepare_prefect
        from tasks.errors import UsageError

        if nightly and (first or force):
            raise UsageError(
                "--nightly decides by itself what runs.",
                obj="groundwork run",
                hint="Leave out --first and --force, or --nightly.",
            )

        listen()
        root = repository()
        prepare_prefect(root)
        from flows.nightly_flow import nightly_segmenter
        from flows.release_flow import release_segmenter

        given = None if source is None else source.resolve()
        result = (
            nightly_segmenter(root, given)
            if nightly
            else release_segmenter(root, given, first=first, force=force)
        )
        emit(result, as_json=as_json, lines=summary(result))
        if result["verdict"] in {"reject", "inconclusive", "drift"}:
            raise typer.Exit(4)


def train(
    force: bool = typer.Option(False, "--force", help="Train although nothing changed."),
    as_json: bool = JsonOption,
) -> None:
    """Bring the segmenter up to date, without judging it. Killed, the same command resumes.

    Examples: `groundwork train` · `groundwork train --force --json`
    """
    _bring_up_to_date("configure_segmenter", force=force, as_json=as_json)


def evaluate(
    model: str | None = typer.Option(
        None, help="A segmenter directory, `champion`, or a bundle id. Default: the current candidate."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Evaluate a model on val and print the metrics.

    Examples: `groundwork eval` · `groundwork eval --model champion --json`
    """
    if model is None:
        _bring_up_to_date("evaluate_detection", force=False, as_json=as_json)
        return
    with errors_for_people(as_json=as_json):
        from tasks.operations.evaluating import evaluate_model
        from tasks.services.settings import Settings

        say = listen()
        root = repository()
        folder = evaluate_model(model, root, Settings.load(root), say=say)
        _show_metrics(folder / "metrics.json", as_json=as_json)


def _bring_up_to_date(target: str, *, force: bool, as_json: bool) -> None:
    with errors_for_people(as_json=as_json):
        from tasks.operations.training import reproduce_stage
        from tasks.operations.workspace import exclusive
        from tasks.services import dvc
        from tasks.services.settings import Settings

        say = listen()
        root = repository()
        settings = Settings.load(root)
        steps = []
        with exclusive(settings):
            for stage in dvc.stages(root, target):
                again = force and stage.name == target
                done = reproduce_stage(stage, root, settings, force=again, say=say)
                steps.append({"stage": done.stage, "outcome": done.outcome})
                say(f"{done.stage}: {done.outcome}")
        if target == "evaluate_detection":
            _show_metrics(root / "artifacts" / "evaluation" / "metrics.json", as_json=as_json)
        else:
            emit({"steps": steps}, as_json=as_json)


def _show_metrics(path: Path, *, as_json: bool) -> None:
    from tasks.data.strict_json import read_json

    document = read_json(path)
    rows = [
        (item["name"], f"{item['value']:.4f}", item["unit"], item["count"]) for item in document["metrics"]
    ]
    rows += [(name, "undefined", reason, "") for name, reason in document["undefined"].items()]
    emit(document, as_json=as_json, lines=table("", ("metric", "value", "unit", "count"), rows))


def summary(result: dict[str, Any]) -> list[str]:
    """Lay out the table with which a run ends."""
    if "metrics" not in result:
        return [str(result["summary"])]
    metrics = {item["name"]: item["value"] for item in result["metrics"]}
    rows: list[tuple[str, object]] = [("data version", result["data"])]
    rows += [(name, f"{metrics[name]:.3f}" if name in metrics else "undefined") for name in SHOWN]
    rows += [
        ("verdict", result["verdict"]),
        *(("", reason) for reason in result["reasons"]),
        ("champion", result["champion"]["summary"]),
        ("report", result["report"]),
    ]
    return ["", *table("", ("release", "segmenter"), rows)]
