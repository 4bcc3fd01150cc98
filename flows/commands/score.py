"""``groundwork score``: metrics of files that others made, without a project."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from flows.console import JsonOption, emit, errors_for_people, table

app = typer.Typer(
    name="score", help="Score files: truth and predictions in, metrics out.", no_args_is_help=True
)

_OUT = typer.Option(None, help="Directory for scores.json and the tables (Parquet). Default: print only.")


@app.command(epilog="Example: `groundwork score panoptic --truth panoptic_val.json --predictions found.json`")
def panoptic(
    truth: Path = typer.Option(..., help="COCO panoptic document."),
    predictions: Path = typer.Option(..., help="Document of the same form."),
    truth_maps: Path | None = typer.Option(None, help="Its PNG files. Default: the document without .json."),
    predicted_maps: Path | None = typer.Option(None, help="The same of the predictions."),
    out: Path | None = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Panoptic quality, over all classes, things and stuff."""
    options = {"truth_maps": truth_maps, "predicted_maps": predicted_maps}
    _score("panoptic", truth, predictions, options, out=out, as_json=as_json)


@app.command(
    epilog="Example: `groundwork score semantic --truth labels --predictions found --classes names.txt`"
)
def semantic(
    truth: Path = typer.Option(..., help="Folder of <name>.png, the number of a class in each pixel."),
    predictions: Path = typer.Option(..., help="Folder of the same names."),
    classes: Path = typer.Option(..., help="One name a line (.txt), or COCO categories (.json)."),
    ignore_label: int = typer.Option(255, help="Label of pixels that do not count."),
    out: Path | None = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Mean IoU and accuracy of label maps."""
    options = {"classes": classes, "ignore_label": ignore_label}
    _score("semantic", truth, predictions, options, out=out, as_json=as_json)


@app.command(epilog="Example: `groundwork score pope --truth coco_pope_random.json --predictions said.jsonl`")
def pope(
    truth: Path = typer.Option(..., help="Questions of one setting, or a folder with a file for each."),
    predictions: Path = typer.Option(..., help="Answers with question_id; a folder if the truth is one."),
    setting: str | None = typer.Option(
        None, help="random, popular or adversarial. Default: as the files say."
    ),
    out: Path | None = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Yes/no questions about what is in an image."""
    choices = {"setting": ("random", "popular", "adversarial")}
    _score("pope", truth, predictions, {"setting": setting}, choices=choices, out=out, as_json=as_json)


@app.command(
    epilog="Example: `groundwork score vqa --truth annotations.json --questions questions.json"
    " --predictions said.json`"
)
def vqa(
    truth: Path = typer.Option(..., help="VQA v2 annotations."),
    questions: Path = typer.Option(..., help="VQA v2 questions."),
    predictions: Path = typer.Option(..., help="List or lines of question_id and answer."),
    measure: str = typer.Option(
        "vqa_accuracy", help="vqa_accuracy, vqa_accuracy_simple, anls or exact_match."
    ),
    out: Path | None = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Accuracy of short answers, also by type of answer."""
    options = {"questions": questions, "measure": measure}
    choices = {"measure": ("vqa_accuracy", "vqa_accuracy_simple", "anls", "exact_match")}
    _score("vqa", truth, predictions, options, choices=choices, out=out, as_json=as_json)


@app.command(epilog="Example: `groundwork score tags --truth labels.csv --predictions scores.csv`")
def tags(
    truth: Path = typer.Option(..., help="CSV with 1, 0 or -1 for each image and label, or JSON."),
    predictions: Path = typer.Option(..., help="CSV with a score for each image and label."),
    unseen: Path | None = typer.Option(None, help="Labels that were not trained on, one a line."),
    top: list[int] = typer.Option([3, 5], help="Best labels of an image that F1 counts; may be repeated."),
    empty: str = typer.Option("zero", help="A label without a positive: `zero` in the mean, or `skip`."),
    out: Path | None = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Mean average precision and F1 of labels, seen and unseen."""
    options = {"unseen": unseen, "empty": empty, "top": tuple(top)}
    choices = {"empty": ("zero", "skip")}
    _score("tags", truth, predictions, options, choices=choices, out=out, as_json=as_json)


@app.command(epilog="Example: `groundwork score reasonseg --truth ReasonSeg/val --predictions masks`")
def reasonseg(
    truth: Path = typer.Option(..., help="Folder of <name>.json and <name>.jpg."),
    predictions: Path = typer.Option(..., help="Folder of <name>.png, 1 or 255 inside the mask."),
    split: str = typer.Option("val", help="Name of the split, for the table."),
    out: Path | None = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Masks found for queries, short and long ones."""
    _score("reasonseg", truth, predictions, {"split": split}, out=out, as_json=as_json)


@app.command(
    epilog="Example: `groundwork score regions --truth artifacts/refcoco-val --predictions artifacts/answers"
    " --images coco/train2014 --out artifacts/scores`"
)
def regions(
    truth: Path = typer.Option(..., help="Directory that `groundwork data import-regions` made."),
    predictions: Path = typer.Option(
        ..., help="Directory that `groundwork answer` made, or lines of question_id and answer."
    ),
    embedder: Path | None = typer.Option(
        None, help="Directory of a sentence encoder, for semantic similarity. Default: without."
    ),
    meteor: bool = typer.Option(False, "--meteor", help="Score sentences by METEOR, too; needs Java."),
    images: Path | None = typer.Option(
        None, help="Folder of the images: writes answers.html beside the scores; needs --out."
    ),
    out: Path | None = _OUT,
    as_json: bool = JsonOption,
) -> None:
    """Answers about regions: exact, yes or no, words shared, captions; also by kind of question."""
    options = {"embedder": embedder, "meteor": meteor, "images": images}
    _score("regions", truth, predictions, options, out=out, as_json=as_json)


def _score(
    kind: str,
    truth: Path,
    predictions: Path,
    options: dict[str, Any],
    *,
    choices: Mapping[str, tuple[str, ...]] | None = None,
    out: Path | None,
    as_json: bool,
) -> None:
    with errors_for_people(as_json=as_json):
        from tasks.errors import UsageError
        from tasks.operations.score_records import ScoreRequest
        from tasks.operations.scoring import PAGE, score_files

        for name, allowed in (choices or {}).items():
            if options[name] is not None and options[name] not in allowed:
                raise UsageError(
                    f"must be one of {', '.join(allowed)}, got {options[name]!r}.",
                    obj=f"--{name}",
                    hint=f"See `groundwork score {kind} --help`.",
                )
        given: dict[str, Any] = {"kind": kind, "truth": truth, "predictions": predictions, **options}
        result = score_files(ScoreRequest(**given), None if out is None else out.absolute())
        where = {"out": None if out is None else str(out)}
        if given.get("images") is not None and out is not None:
            where |= {"page": str(out / PAGE)}
        emit({**result, **where}, as_json=as_json, lines=_lines(result, out, where.get("page")))


def _lines(result: dict[str, Any], out: Path | None, page: str | None) -> list[str]:
    """Lay out the metrics of the whole and of its parts, and the intervals of those that have one."""
    rows, intervals = [], result["intervals"]
    for part in ({"name": "", **result}, *result["parts"]):
        head = f"{part['name']}: " if part["name"] else ""
        rows += [
            (
                f"{head}{item['name']}",
                f"{item['value']:.4f}{'' if head else _interval(intervals.get(item['name']))}",
                item["unit"],
                item["count"],
            )
            for item in part["metrics"]
        ]
        if not head or result["kind"] != "regions":  # kinds of questions have what their form allows
            rows += [(f"{head}{name}", "undefined", why, "") for name, why in part["undefined"].items()]
    definition = f"{result['definition']['name']} ({result['definition_sha256'][:12]})"
    lines = table(f"definition: {definition}", ("metric", "value", "unit", "count"), rows)
    if out is not None:
        lines.append(f"tables: {out}")
    return lines if page is None else [*lines, f"look at: {page}"]


def _interval(found: dict[str, Any] | None) -> str:
    return "" if found is None else f" [{found['low']:.4f}, {found['high']:.4f}]"
