"""``groundwork referring``: prepare, evaluate, judge and show models that find what is spoken of."""

from enum import StrEnum
from pathlib import Path

import typer

from flows.console import JsonOption, emit, errors_for_people, table

app = typer.Typer(
    name="referring", help="Referring expressions: from their files to a verdict.", no_args_is_help=True
)
_OUT = typer.Option(..., help="Directory to create; an earlier result of the same kind is replaced.")


class KindName(StrEnum):
    """What is compared with the truth."""

    BOXES = "boxes"
    MASKS = "masks"


@app.command()
def prepare(
    files: list[str] = typer.Argument(
        ...,
        help="SPLIT=FILE.jsonl (an expression a line), FILE.json (images and refs), or with --instances "
        "refs(...).p and grefs(...).json.",
    ),
    source: str = typer.Option(
        ..., help="Dataset and who split it, e.g. refcoco/unc; stands in every record."
    ),
    out: Path = _OUT,
    instances: Path | None = typer.Option(None, help="instances.json that refs(...).p speaks of."),
    masks: bool = typer.Option(True, help="Read masks where there are any."),
    as_json: bool = JsonOption,
) -> None:
    """Turn files of referring expressions into checked records, split by split.

    Examples: `groundwork referring prepare val=refcoco_val.jsonl --source refcoco/unc --out prepared` ·
    `groundwork referring prepare "refs(umd).p" --instances instances.json --source refcocog/umd --out data`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.preparing_referring import prepare_referring

        about = prepare_referring(files, source=source, out=out, instances=instances, masks=masks)
        rows = [(name, counts.expressions, counts.images) for name, counts in about.splits.items()]
        lines = [
            *table("", ("split", "expressions", "images"), rows),
            f"dataset {about.dataset_sha256}",
            str(out),
        ]
        emit({**about.to_json(), "path": str(out)}, as_json=as_json, lines=lines)


@app.command()
def evaluate(
    predictions: Path = typer.Argument(..., help="Answers of one model: groundwork.referring_predictions/1."),
    prepared: Path = typer.Option(..., help="Directory made by `groundwork referring prepare`."),
    split: str = typer.Option(..., help="Split to score; splits are never pooled."),
    kind: KindName = typer.Option(..., help="What is compared."),
    out: Path = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Score the answers of one model to every expression of one split.

    Examples: `groundwork referring evaluate answers.jsonl --prepared prepared --split val --kind boxes --out
    evaluation`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.evaluating_referring import evaluate_referring

        document = evaluate_referring(
            prepared=prepared, split=split, predictions=predictions, kind=kind.value, out=out
        )
        rows = [(item["name"], f"{item['value']:.4f}", item["count"]) for item in document["metrics"]]
        lines = table("", ("metric", "value", "count"), rows)
        lines += [f"{name} is undefined: {why}" for name, why in document["undefined"].items()]
        emit({**document, "path": str(out)}, as_json=as_json, lines=[*lines, str(out)])


@app.command()
def gate(
    candidate: Path = typer.Argument(..., help="Evaluation of the model to judge."),
    policy: Path = typer.Option(..., help="The rules, e.g. configs/gates/refcoco.yaml."),
    out: Path = _OUT,
    against: Path | None = typer.Option(None, help="Evaluation of the champion."),
    first: bool = typer.Option(False, "--first", help="Allow a first champion where there is none."),
    as_json: bool = JsonOption,
) -> None:
    """Judge one evaluated model against another. Exit code 4 unless it may be promoted.

    Examples: `groundwork referring gate new --against old --policy configs/gates/refcoco.yaml --out decision`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.judging_referring import DECISION, judge_referring

        decision = judge_referring(candidate, against, policy=policy, out=out, first=first)
        lines = [f"verdict: {decision['verdict']}", *(f"  {reason}" for reason in decision["reasons"])]
        path = out / DECISION
        emit({**decision, "path": str(path)}, as_json=as_json, lines=[*lines, str(path)])
        if decision["verdict"] != "promote":
            raise typer.Exit(4)


@app.command()
def report(
    candidate: Path = typer.Argument(..., help="Evaluation of the model to show."),
    prepared: Path = typer.Option(..., help="Directory made by `groundwork referring prepare`."),
    out: Path = _OUT,
    against: Path | None = typer.Option(None, help="Evaluation of a second model to show beside it."),
    decision: Path | None = typer.Option(None, help="Directory made by `groundwork referring gate`."),
    images: Path | None = typer.Option(None, help="Folder of the images. Without it: outlines alone."),
    names: list[str] = typer.Option(
        ["candidate", "champion"], "--name", help="What to call the models; say it once for each."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Render one page, which needs no network, about one model or two.

    Examples: `groundwork referring report new --prepared prepared --images val2014 --out page` ·
    `groundwork referring report new --against old --decision decision --prepared prepared --out page`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.reporting_referring import report_referring
        from tasks.report.referring_sources import ReferringInputs

        inputs = ReferringInputs(
            candidate=candidate,
            champion=against,
            prepared=prepared,
            images=images,
            decision=decision,
            names=tuple(names),
        )
        page = report_referring(inputs, out)
        emit({"report": str(page)}, as_json=as_json, lines=[str(page)])
