"""Answers to referring expressions and the truth in, a committed evaluation of one split out.

Splits are never pooled: one directory is about one split. ``tasks.data.referring_evaluations`` says what is
in it.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from evaluation.definition import Definition
from evaluation.ref_boxes import evaluate_boxes
from evaluation.ref_expressions import SplitScores
from evaluation.ref_masks import evaluate_masks
from tasks.data.commit import commit_directory, hash_file
from tasks.data.referring import ReferringRecord, to_box_expression, to_mask_expression
from tasks.data.referring_evaluations import (
    ANSWERS,
    DEFINITIONS,
    EVALUATION_SCHEMA,
    METRICS,
    PARTS,
    TABLE,
    Kind,
)
from tasks.data.referring_predictions import ReferringAnswer, ReferringHeader, read_answers
from tasks.data.referring_prepared import read_split
from tasks.data.target_directory import check_target
from tasks.errors import DataError, IntegrityError
from tasks.operations.preparing_referring import check_present

METRICS_SCHEMA: Final = "groundwork.metrics/1"


def evaluate_referring(
    *, prepared: Path, split: str, predictions: Path, kind: Kind, out: Path
) -> dict[str, Any]:
    """Score the answers of one model to the expressions of one split.

    Args:
        prepared: Directory of prepared expressions.
        split: One of its splits.
        predictions: ``groundwork.referring_predictions/1``, about every expression of the split.
        kind: What is compared. Boxes need exactly one region an expression; masks may have any number.
        out: Directory to create, or to replace if it holds such an evaluation.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UsageError: If ``out`` holds something else.
        UnavailableError: If an input is absent.
        DataError: If expressions or answers break a rule. Nothing is written and no score exists.
        IntegrityError: If the data were damaged, or the answers are about other data.
    """
    check_target(out, schema=EVALUATION_SCHEMA)
    check_present(prepared, "Make it with `groundwork referring prepare`.")
    check_present(predictions, "Write the answers of the model there first.")
    about, records = read_split(prepared, split)
    sha256 = hash_file(predictions)
    header, answers = read_answers(
        predictions, records, dataset_sha256=about.dataset_sha256, split=split, part=PARTS[kind]
    )
    scores, table = _score(records, answers, kind)
    definition = DEFINITIONS[kind]
    document = _document(scores, header, definition, images=len({item.image_id for item in records}))
    document["predictions_sha256"] = sha256
    names = ("split", "model_sha256", "dataset_sha256")
    provenance = {name: header.to_json()[name] for name in names} | {
        name: document[name] for name in ("predictions_sha256", "definition_sha256")
    }

    def write(folder: Path) -> None:
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        (folder / METRICS).write_text(text, encoding="utf-8")
        table.to_parquet(folder / TABLE, index=False)
        shutil.copyfile(predictions, folder / ANSWERS)
        if hash_file(folder / ANSWERS) != sha256:
            raise IntegrityError(
                "was changed while it was scored.", obj=str(predictions), hint="Run the command again."
            )

    commit_directory(out, write, schema=EVALUATION_SCHEMA, provenance=provenance)
    return document


def _score(
    records: Sequence[ReferringRecord], answers: Sequence[ReferringAnswer], kind: Kind
) -> tuple[SplitScores, pd.DataFrame]:
    try:
        if kind == "boxes":
            found = {answer.expression_id: answer.boxes_xyxy for answer in answers}
            boxes = evaluate_boxes([to_box_expression(record) for record in records], found)
            return boxes.splits[0], boxes.per_expression
        covered = {
            answer.expression_id: None if answer.mask is None else answer.mask.to_json() for answer in answers
        }
        masks = evaluate_masks([to_mask_expression(record) for record in records], covered)
        return masks.splits[0], masks.per_expression
    except ValueError as error:
        other = "masks" if kind == "boxes" else "boxes"
        raise DataError(
            str(error), obj=f"split {records[0].split}", hint=f"Evaluate {other}, or prepare other data."
        ) from error


def _document(
    scores: SplitScores, header: ReferringHeader, definition: Definition, *, images: int
) -> dict[str, Any]:
    expressions = header.expressions
    return {
        "schema": METRICS_SCHEMA,
        "dataset": {
            "sha256": header.dataset_sha256,
            "split": header.split,
            "images": images,
            "expressions": expressions,
        },
        "model_sha256": header.model_sha256,
        "definition": definition.to_json(),
        "definition_sha256": definition.sha256,
        "coverage": {
            "images_expected": images,
            "images_scored": images,
            "expressions_expected": expressions,
            "expressions_scored": expressions,
        },
        "outcome": "scored",
        "metrics": [metric.to_json() for metric in scores.metrics],
        "undefined": scores.undefined,
    }
