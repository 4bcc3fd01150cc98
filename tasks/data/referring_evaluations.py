"""Committed evaluations of referring expressions: what a gate and a page read of one model and one split.

The directory holds ``metrics.json`` (``groundwork.metrics/1``), ``per_expression.parquet`` as
``evaluation.ref_boxes`` or ``evaluation.ref_masks`` describes it, and ``predictions.jsonl``, the answers as
they were scored, so that a page can draw them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow.parquet as pq

from evaluation.definition import Definition
from evaluation.expressions import Expressions
from evaluation.ref_boxes import REF_BOXES
from evaluation.ref_masks import REF_MASKS
from tasks.data.commit import hash_file, verify_directory
from tasks.data.referring_predictions import Part
from tasks.data.strict_json import read_json
from tasks.errors import IntegrityError, UnavailableError

EVALUATION_SCHEMA: Final = "groundwork.referring_evaluation/1"
METRICS: Final = "metrics.json"
TABLE: Final = "per_expression.parquet"
ANSWERS: Final = "predictions.jsonl"

Kind = Literal["boxes", "masks"]
DEFINITIONS: Final[dict[Kind, Definition]] = {"boxes": REF_BOXES, "masks": REF_MASKS}
"""What a kind of answer is scored by."""
PARTS: Final[dict[Kind, Part]] = {"boxes": "boxes_xyxy", "masks": "mask"}
"""Where a line of the answers holds it."""
_AGAIN: Final = "Make it with `groundwork referring evaluate`."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferringEvaluation:
    """One evaluated model."""

    sha256: str
    """Identity of the directory: of model, data, answers and scores together."""
    kind: Kind
    metrics: dict[str, Any]
    """Content of ``metrics.json``."""
    expressions: Expressions
    answers: Path
    """The file of answers, as it was scored."""

    @property
    def about(self) -> dict[str, str]:
        """What two evaluations must have in common to be compared."""
        dataset = self.metrics["dataset"]
        return {
            "dataset_sha256": dataset["sha256"],
            "split": dataset["split"],
            "definition": self.expressions.definition.name,
            "definition_sha256": self.metrics["definition_sha256"],
        }


def read_evaluation(folder: Path) -> ReferringEvaluation:
    """Read one committed evaluation, every byte of which is checked first.

    Raises:
        UnavailableError: If there is no such directory.
        IntegrityError: If it was damaged, is of another kind, or its parts do not belong together.
    """
    if not folder.is_dir():
        raise UnavailableError("is no directory.", obj=str(folder), hint=_AGAIN)
    manifest = verify_directory(folder, schema=EVALUATION_SCHEMA)
    metrics = read_json(folder / METRICS)
    try:
        name = metrics["definition"]["name"]
        kinds = [kind for kind, definition in DEFINITIONS.items() if definition.name == name]
        if not kinds:
            raise ValueError(f"definition {name!r} is not about expressions")
        if hash_file(folder / ANSWERS) != metrics["predictions_sha256"]:
            raise ValueError(f"{ANSWERS} is not what was scored")
        evaluation = ReferringEvaluation(
            sha256=manifest.sha256,
            kind=kinds[0],
            metrics=metrics,
            expressions=Expressions(
                definition=DEFINITIONS[kinds[0]],
                per_expression=pq.read_table(folder / TABLE).to_pandas(),
            ),
            answers=folder / ANSWERS,
        )
        evaluation.about  # noqa: B018 - a part that is absent is named here
    except (KeyError, TypeError, ValueError, OSError) as error:
        message = f"is no evaluation of expressions ({type(error).__name__}: {error})."
        raise IntegrityError(message, obj=str(folder), hint=_AGAIN) from error
    return evaluation


def check_alike(first: ReferringEvaluation, second: ReferringEvaluation, folder: Path) -> None:
    """Refuse two evaluations that nothing can be concluded from together.

    Args:
        first: What the other one is compared with.
        second: The other one.
        folder: Where the second one lies, for the error.

    Raises:
        IntegrityError: With the first thing in which they differ.
    """
    for name, value in first.about.items():
        if second.about[name] != value:
            raise IntegrityError(
                f"{name} is {second.about[name]!r}, that of the other model is {value!r}.",
                obj=str(folder),
                hint="Evaluate both models on the same split of the same dataset, in the same way.",
            )
