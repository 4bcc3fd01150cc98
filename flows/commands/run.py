"""``groundwork run | train``: bring models up to date."""

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

    Exit code 4 if the candidate was judged and not promoted, or the champion drifts or stands by an override
    that is over. Interrupted, the same command resumes.

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
    with errors_for_people(as_json=as_json):
        emit({"steps": bring_up_to_date("configure_segmenter", force=force)}, as_json=as_json)


def bring_up_to_date(target: str, *, force: bool = False) -> list[dict[str, str]]:
    """Reproduce a stage and everything that it depends on.

    Returns:
        Name and outcome of each stage.
    """
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
    return steps


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
