"""Score files that others made: truth and predictions in, metrics and tables out. No model, no project.

A kind of task is one line of ``SCORERS``: what reads its files, and what evaluates what was read.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from evaluation.answers import AnswerEvaluation
from evaluation.panoptic import PANOPTIC, evaluate_panoptic, match_panoptic
from evaluation.pope import POPE, evaluate_pope
from evaluation.questions import QUESTIONS, evaluate_questions
from evaluation.ref_masks import REF_MASKS, evaluate_masks
from evaluation.semantic import SEMANTIC, evaluate_semantic
from evaluation.semantic_intervals import semantic_intervals
from evaluation.tags import evaluate_tags, tag_definition
from tasks.data.answer_files import read_answers
from tasks.data.commit import commit_directory, describe, hash_file
from tasks.data.panoptic_png import read_panoptic
from tasks.data.pope import read_pope, read_pope_answers
from tasks.data.reasonseg import read_reason_masks, read_reasonseg
from tasks.data.semantic_png import pair_label_maps, read_classes, read_names
from tasks.data.tag_labels import read_tags
from tasks.data.target_directory import check_target
from tasks.data.vqa import read_vqa
from tasks.errors import DataError, UsageError
from tasks.operations.score_records import ALPHA, RESAMPLES, SEED, Kind, Part, Scored, ScoreRequest
from tasks.operations.scoring_regions import score_regions

SCORES_SCHEMA: Final = "groundwork.scores/1"
PAGE: Final = "answers.html"


def score_files(request: ScoreRequest, out: Path | None = None) -> dict[str, Any]:
    """Score predictions against truth.

    Args:
        request: What to compare.
        out: Directory to commit with ``scores.json`` and every table as Parquet; None writes nothing.

    Returns:
        The document: metrics, names without a value, definition and its hash, hashes of all inputs.

    Raises:
        DataError: If a file breaks a rule. Nothing is written and no score exists.
        UsageError: If the kind needs another file, or ``out`` holds something else.
        IntegrityError: If a folder holds links.
    """
    if out is not None:
        check_target(out, schema=SCORES_SCHEMA)
    elif request.images is not None:
        raise UsageError(
            "makes a page, which needs a place.", obj="--images", hint="Add --out and a directory."
        )
    with _as_data_error(request.predictions):
        scored = SCORERS[request.kind](request)
    document = {
        "schema": SCORES_SCHEMA,
        "kind": request.kind,
        "definition": scored.definition.to_json(),
        "definition_sha256": scored.definition.sha256,
        "inputs": {name: _sha256(path) for name, path in request.inputs.items()},
        **scored.whole.to_json(),
        "parts": [{"name": part.name, **part.to_json()} for part in scored.parts],
        "tables": {name: len(table) for name, table in scored.tables.items()},
        "intervals": {
            name: {"low": found.low, "high": found.high, "alpha": ALPHA, "resamples": RESAMPLES, "seed": SEED}
            for name, found in scored.intervals.items()
        },
        **scored.about,
    }
    if out is not None:
        names = ("kind", "definition_sha256", "inputs")
        commit_directory(
            out,
            lambda staging: _write(staging, document, scored),
            schema=SCORES_SCHEMA,
            provenance={name: document[name] for name in names},
        )
    return document


def _write(staging: Path, document: dict[str, Any], scored: Scored) -> None:
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    (staging / "scores.json").write_text(text, encoding="utf-8")
    if scored.page is not None:
        (staging / PAGE).write_text(scored.page, encoding="utf-8")
    for name, table in scored.tables.items():
        table.to_parquet(staging / f"{name}.parquet", index=False)


def _sha256(path: Path) -> str:
    return describe(path, schema=SCORES_SCHEMA).sha256 if path.is_dir() else hash_file(path)


@contextmanager
def _as_data_error(predictions: Path) -> Iterator[None]:
    """Evaluation refuses with ValueError and knows no files: give it the file, and a next command."""
    try:
        yield
    except ValueError as error:
        raise DataError(
            str(error), obj=str(predictions), hint="Check that truth and predictions are of the same data."
        ) from error


def _panoptic(request: ScoreRequest) -> Scored:
    truth = read_panoptic(request.truth, request.maps_of("truth"))
    found = read_panoptic(request.predictions, request.maps_of("predicted"), truth=truth)
    counts = []
    for image_id in truth.sizes:
        true_map = truth.read_map(image_id)
        if true_map is not None:  # the reader has refused a truth that leaves out an image
            predicted = found.read_map(image_id)
            counts.append(match_panoptic(true_map, predicted, num_categories=len(truth.categories)))
    result = evaluate_panoptic(counts, categories=truth.categories)
    tables = {"per_image": result.per_image, "per_class": result.per_class, "counts": result.counts}
    return Scored(
        definition=PANOPTIC,
        whole=Part(name="all", metrics=result.values.metrics, undefined=result.values.undefined),
        tables=tables,
    )


def _semantic(request: ScoreRequest) -> Scored:
    classes = read_classes(_needed(request.classes, request, "--classes"))
    files = pair_label_maps(request.truth, request.predictions, classes, ignore_label=request.ignore_label)
    images = [files.count(place) for place in range(len(files.truth))]
    result = evaluate_semantic(images, classes=files.classes)
    per_image = result.per_image.copy()
    per_image.insert(1, "file", [path.name for path in files.truth])
    return Scored(
        definition=SEMANTIC,
        whole=Part(name="all", metrics=result.values.metrics, undefined=result.values.undefined),
        tables={"per_image": per_image, "per_class": result.per_class, "confusions": result.confusions},
        intervals=semantic_intervals(images, resamples=RESAMPLES, seed=SEED, alpha=ALPHA),
    )


def _pope(request: ScoreRequest) -> Scored:
    items = read_pope(request.truth, setting=request.setting)
    answers = read_pope_answers(request.predictions, items, setting=request.setting)
    result = evaluate_pope([item.question for item in items], answers)
    table = result.per_item.copy()
    table.insert(2, "image", [item.image for item in items])
    return Scored(definition=POPE, whole=_answers_part("all", result), tables={"per_item": table})


def _vqa(request: ScoreRequest) -> Scored:
    items = read_vqa(_needed(request.questions, request, "--questions"), request.truth)
    answers = read_answers(request.predictions)
    questions = [item.question for item in items]
    result = evaluate_questions(questions, answers, measure=request.measure)
    parts = []
    for group in sorted({question.group for question in questions}):
        chosen = [question for question in questions if question.group == group]
        said = {item.item_id: answers[item.item_id] for item in chosen if item.item_id in answers}
        parts.append(_answers_part(group, evaluate_questions(chosen, said, measure=request.measure)))
    table = result.per_item.copy()
    table.insert(1, "image_id", [item.image_id for item in items])
    return Scored(
        definition=QUESTIONS[request.measure],
        whole=_answers_part("all", result),
        parts=tuple(parts),
        tables={"per_item": table},
    )


def _tags(request: ScoreRequest) -> Scored:
    unseen = [] if request.unseen is None else read_names(request.unseen)
    files = read_tags(request.truth, request.predictions, unseen=unseen)
    result = evaluate_tags(files.records, num_seen=files.num_seen, top=request.top, empty=request.empty)
    per_image = result.per_image.copy()
    per_image.insert(1, "image", list(files.images))
    return Scored(
        definition=tag_definition(num_seen=files.num_seen, top=request.top, empty=request.empty),
        whole=Part(name="all", metrics=result.values.metrics, undefined=result.values.undefined),
        tables={"per_image": per_image, "per_label": result.per_label},
    )


def _reasonseg(request: ScoreRequest) -> Scored:
    records = read_reasonseg(request.truth, split=request.split)
    masks = read_reason_masks(request.predictions, records)
    result = evaluate_masks([record.to_expression() for record in records], masks)
    table = result.per_expression.copy()
    table.insert(1, "file", [record.name for record in records])
    whole, *parts = (
        Part(name=scores.name, metrics=scores.metrics, undefined=scores.undefined) for scores in result.splits
    )
    return Scored(definition=REF_MASKS, whole=whole, parts=tuple(parts), tables={"per_expression": table})


def _answers_part(name: str, result: AnswerEvaluation) -> Part:
    return Part(name=name, metrics=result.values.metrics, undefined=result.values.undefined)


def _needed(path: Path | None, request: ScoreRequest, option: str) -> Path:
    if path is None:
        raise UsageError(
            f"needs {option}.", obj=f"groundwork score {request.kind}", hint=f"Add {option} and a file."
        )
    return path


SCORERS: Final[Mapping[Kind, Callable[[ScoreRequest], Scored]]] = {
    "panoptic": _panoptic,
    "semantic": _semantic,
    "pope": _pope,
    "vqa": _vqa,
    "tags": _tags,
    "reasonseg": _reasonseg,
    "regions": score_regions,
}
