"""Referring comprehension: does the box found for an expression lie on the region it speaks of?

Source: RefCOCO and RefCOCO+ (Yu et al., "Modeling Context in Referring Expressions", arXiv 1608.00272) and
RefCOCOg (Mao et al., "Generation and Comprehension of Unambiguous Object Descriptions", arXiv 1511.02283),
whose measure, precision@1 at IoU 0.5, later papers call Acc@0.5. Differences: an IoU of exactly the
threshold is right (some papers write "> 0.5"), and the same share is given at nine higher thresholds.

Splits are never pooled: RefCOCO val, testA (people) and testB (other things) are published one by one.

Shape suffixes:
    N = expressions   M = predicted boxes of all expressions
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import IOU_PERCENT, Definition, MetricSpec
from evaluation.ref_expressions import FloatArray, Ratio, SplitScores, check_ids, check_split, score_split

Box = tuple[float, float, float, float]
"""Corners ``(left, top, right, bottom)`` in pixels of the original image."""

LIMIT: Final = 1e9
"""Largest coordinate in pixels, either way, that is taken for a number of pixels."""

REF_BOXES: Final = Definition(
    name="referring-boxes/1",
    iou_percent=IOU_PERCENT,
    recall_points=0,
    caps=(1,),
    areas=(),
    conventions=(
        "the first box of an expression counts, any further one does not",
        "an IoU of exactly the threshold is right",
        "an expression without a box, or whose first box has no area, is wrong and counted",
        "boxes are not clipped to the image: what sticks out enlarges the union",
        "splits are not pooled",
    ),
    metrics=(
        *(
            MetricSpec(
                name=f"ref_box.accuracy_{percent}",
                meaning=f"share of expressions whose first box has an IoU of at least {percent / 100:.2f}",
            )
            for percent in IOU_PERCENT
        ),
        MetricSpec(name="ref_box.mean_iou", meaning="mean IoU of the first box"),
        MetricSpec(name="ref_box.answered", meaning="share of expressions with at least one box"),
        MetricSpec(
            name="ref_box.oracle_50",
            meaning="share of expressions of which any box has an IoU of at least 0.50: a bound, no score",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxExpression:
    """One expression and the box of the one region it speaks of."""

    expression_id: int
    image_id: int
    split: str
    box_xyxy: Box
    """Corners in pixels of the original image."""

    def __post_init__(self) -> None:
        """Refuse a truth that nothing can be compared with.

        Raises:
            ValueError: If the split is empty, or the box not finite, beyond the limit, or without area.
        """
        check_split(self.expression_id, self.split)
        box_14 = _boxes(self.expression_id, [self.box_xyxy])
        if box_14.shape != (1, 4) or not _areas(box_14)[0] > 0:
            raise ValueError(
                f"expression {self.expression_id}: the true box must have left < right and top < bottom, "
                f"got {self.box_xyxy}."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxEvaluation:
    """What one model found, split by split and expression by expression."""

    splits: tuple[SplitScores, ...]
    """By name of the split."""
    per_expression: pd.DataFrame
    """One row per expression, in the order given: ``expression_id``, ``image_id``, ``split``, ``outcome``
    (``answered``, ``no prediction`` or ``box without area``), ``num_boxes``, ``iou`` of the first box (0
    where there is none), ``best_iou`` of all, and ``right_50`` to ``right_95``."""


def evaluate_boxes(
    expressions: Sequence[BoxExpression], predictions: Mapping[int, Sequence[Box] | None]
) -> BoxEvaluation:
    """Score the boxes that a model gives for expressions.

    Args:
        expressions: Every expression of every split, whether answered or not.
        predictions: Id of an expression -> its boxes, in the order of the answer. No entry, None or
            no box: the model gave nothing that could be read as a box.

    Returns:
        The metrics of each split, and the table of all expressions.

    Raises:
        TypeError: If an id is no integer, or a box does not hold numbers.
        ValueError: If there is no expression, an id repeats or is unknown, or a box does not have four
            finite numbers.

    Example:
        >>> truth = BoxExpression(expression_id=1, image_id=7, split="val", box_xyxy=(0, 0, 10, 10))
        >>> evaluate_boxes([truth], {1: [(0, 0, 10, 5)]}).splits[0].value("ref_box.accuracy_50")
        1.0
    """
    check_ids([item.expression_id for item in expressions], predictions)
    boxes = [_boxes(item.expression_id, predictions.get(item.expression_id)) for item in expressions]
    table = _table(expressions, boxes)
    splits = tuple(
        score_split(str(name), ratios(part), REF_BOXES) for name, part in table.groupby("split", sort=True)
    )
    return BoxEvaluation(splits=splits, per_expression=table)


def ratios(per_expression: pd.DataFrame) -> dict[str, Ratio]:
    """Return every metric of the definition as two columns over the rows of a table."""
    one_N = np.ones(len(per_expression))
    columns = {f"ref_box.accuracy_{percent}": per_expression[f"right_{percent}"] for percent in IOU_PERCENT}
    columns["ref_box.mean_iou"] = per_expression["iou"]
    columns["ref_box.answered"] = per_expression["num_boxes"] > 0
    columns["ref_box.oracle_50"] = per_expression["best_iou"] >= 0.5
    return {
        name: Ratio(
            numerator_N=column.to_numpy(dtype=np.float64), denominator_N=one_N, undefined="no expression"
        )
        for name, column in columns.items()
    }


def paired_iou(boxes_xyxy_M4: FloatArray, others_xyxy_M4: FloatArray) -> FloatArray:
    """Return the IoU of each box with the other of the same row.

    Args:
        boxes_xyxy_M4: Corners in pixels, finite; a box with ``right <= left`` or ``bottom <= top`` has no
            area and an IoU of 0.
        others_xyxy_M4: Corners in pixels; each has an area.

    Returns:
        Fractions in [0, 1], shape (M,), float64.
    """
    low_M2 = np.maximum(boxes_xyxy_M4[:, :2], others_xyxy_M4[:, :2])
    high_M2 = np.minimum(boxes_xyxy_M4[:, 2:], others_xyxy_M4[:, 2:])
    shared_M = np.maximum(high_M2 - low_M2, 0.0).prod(axis=1)
    shared_M = np.where(_areas(boxes_xyxy_M4) > 0, shared_M, 0.0)
    return np.asarray(shared_M / (_areas(boxes_xyxy_M4) + _areas(others_xyxy_M4) - shared_M))


def _areas(boxes_xyxy_M4: FloatArray) -> FloatArray:
    side_M2: FloatArray = np.maximum(boxes_xyxy_M4[:, 2:] - boxes_xyxy_M4[:, :2], 0.0)
    return np.asarray(side_M2.prod(axis=1))


def _boxes(expression_id: int, boxes: Sequence[Box] | None) -> FloatArray:
    rule = f"expression {expression_id}: boxes_xyxy must be boxes of 4 finite numbers below {LIMIT:g} px"
    try:
        found: npt.NDArray[Any] = np.asarray(() if boxes is None else boxes)
    except ValueError as error:
        raise ValueError(f"{rule}, got {boxes!r}.") from error
    if found.size == 0:
        return np.zeros((0, 4))
    if found.dtype.kind not in "iuf":
        raise TypeError(f"{rule}, got {boxes!r}.")
    box_M4 = found.astype(np.float64)
    if box_M4.ndim != 2 or box_M4.shape[1] != 4 or not (np.abs(box_M4) < LIMIT).all():
        raise ValueError(f"{rule}, got {boxes!r}.")
    return box_M4


def _table(expressions: Sequence[BoxExpression], boxes: Sequence[FloatArray]) -> pd.DataFrame:
    num_boxes_N = np.array([len(item) for item in boxes], dtype=np.int64)
    answered_N = num_boxes_N > 0
    first_N = (np.cumsum(num_boxes_N) - num_boxes_N)[answered_N]
    truth_N4 = np.array([item.box_xyxy for item in expressions], dtype=np.float64)
    box_M4 = np.concatenate(boxes)
    iou_M = paired_iou(box_M4, np.repeat(truth_N4, num_boxes_N, axis=0))
    iou_N, best_N = np.zeros(len(boxes)), np.zeros(len(boxes))
    has_area_N = np.zeros(len(boxes), dtype=bool)
    if len(first_N):
        iou_N[answered_N] = iou_M[first_N]
        best_N[answered_N] = np.maximum.reduceat(iou_M, first_N)
        has_area_N[answered_N] = _areas(box_M4[first_N]) > 0
    outcome_N = np.where(has_area_N, "answered", "box without area")
    columns = {
        "expression_id": np.array([item.expression_id for item in expressions], dtype=np.int64),
        "image_id": np.array([item.image_id for item in expressions], dtype=np.int64),
        "split": [item.split for item in expressions],
        "outcome": np.where(answered_N, outcome_N, "no prediction"),
        "num_boxes": num_boxes_N,
        "iou": iou_N,
        "best_iou": best_N,
    }
    right = {f"right_{percent}": iou_N >= percent / 100 for percent in IOU_PERCENT}
    return pd.DataFrame(columns | right)
