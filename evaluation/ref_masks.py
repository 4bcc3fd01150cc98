"""Referring segmentation: how well does the mask found for an expression cover what it speaks of?

Source: GRES (Liu, Ding and Jiang, arXiv 2306.00968) for expressions of none, one or many regions, with N-acc
and T-acc; LISA (Lai et al., arXiv 2308.00692) for ReasonSeg with short and long queries. Names: ``ciou``
(cumulative) is oIoU, overall IoU, or plain IoU elsewhere; ``giou`` (mean over expressions) is mIoU elsewhere,
and has nothing to do with the generalized IoU of boxes; ``precision_70`` is Pr@0.7 or P@0.7.

Differences: nothing is added to a denominator (released code adds 1e-5 or 1). An empty mask is how a model
says "there is no such thing": one with an output of its own for it hands in an empty mask. T-acc is that of
the paper, TN / (TN + FP) over expressions that have a target; the code released with GRES divides TP by
TP + FP + 1 instead, which is another number.

How pixels are counted was chosen by measurement (one core, 640x480, milliseconds an expression): run lengths
met by pycocotools 0.014, bool arrays 0.056, bool arrays packed to bits 0.087, bool arrays encoded first 0.6.
So masks stay as they come, and only a pair of unlike ones is encoded.

Shape suffixes:
    H, W = height and width of the original image   N = expressions
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from pycocotools import mask as rle_c

from evaluation.definition import IOU_PERCENT, Definition, MetricSpec
from evaluation.masks import Rle
from evaluation.ref_expressions import Ratio, SplitScores, check_ids, check_split, score_split

Mask: TypeAlias = npt.NDArray[np.bool_] | Rle
"""A bool array of shape (H, W), or COCO compressed run lengths that a reader has checked."""

IGNORE: Final = 255
"""The label of pixels that count neither for nor against."""

REF_MASKS: Final = Definition(
    name="referring-masks/1",
    iou_percent=IOU_PERCENT,
    recall_points=0,
    caps=(1,),
    areas=(),
    conventions=(
        "masks have the size of the original image",
        "ignored pixels are removed from the mask found and from the true one",
        "no target and an empty mask: IoU 1, and 0 pixels in both sums of ciou",
        "an expression without a prediction has an IoU of 0 and is counted; an empty mask is a prediction",
        "to the sums of ciou an expression without a prediction is one with an empty mask",
        "an IoU of exactly the threshold is right; precision is over expressions that have a target",
        "splits are not pooled",
    ),
    metrics=(
        MetricSpec(
            name="ref_mask.ciou", meaning="sum of the intersections over sum of the unions, in pixels"
        ),
        MetricSpec(name="ref_mask.giou", meaning="mean over the expressions of their IoU"),
        *(
            MetricSpec(
                name=f"ref_mask.precision_{percent}",
                meaning=f"share of expressions with a target whose IoU is at least {percent / 100:.2f}",
            )
            for percent in IOU_PERCENT
        ),
        MetricSpec(
            name="ref_mask.n_acc", meaning="share of expressions without a target answered by no pixel"
        ),
        MetricSpec(name="ref_mask.t_acc", meaning="share of expressions with a target answered by any pixel"),
        MetricSpec(name="ref_mask.answered", meaning="share of expressions with a prediction, empty or not"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskExpression:
    """One expression and the pixels of everything it speaks of."""

    expression_id: int
    image_id: int
    split: str
    height: int
    """Of the original image, in pixels."""
    width: int
    """Of the original image, in pixels."""
    target: Mask
    """All regions united; empty if there is no target."""
    ignored: Mask | None = None
    """Pixels that count neither for nor against."""
    subset: str = ""
    """Scored beside its split as ``<split>/<subset>``, e.g. ``short`` and ``long`` of ReasonSeg, which are
    queries whose ``is_sentence`` is false and true."""

    def __post_init__(self) -> None:
        """Check the split and both masks. Raises TypeError or ValueError naming the expression."""
        check_split(self.expression_id, self.split)
        for name, mask in (("target", self.target), ("ignored", self.ignored)):
            if mask is not None:
                _check_mask(f"expression {self.expression_id}: {name}", mask, (self.height, self.width))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskEvaluation:
    """What one model found, split by split and expression by expression."""

    splits: tuple[SplitScores, ...]
    """By name: each split, followed by its subsets."""
    per_expression: pd.DataFrame
    """One row per expression, in the order given: ``expression_id``, ``image_id``, ``split``, ``subset``,
    ``has_target``, ``outcome`` (``answered`` or ``no prediction``), ``target_pixels``, ``predicted_pixels``,
    ``intersection``, ``union`` (in pixels, ignored ones removed), ``iou``, ``right_50`` to ``right_95``."""


def evaluate_masks(
    expressions: Sequence[MaskExpression], predictions: Mapping[int, Mask | None]
) -> MaskEvaluation:
    """Score the masks that a model gives for expressions.

    Args:
        expressions: Every expression of every split, whether answered or not.
        predictions: Id of an expression -> its mask, at the size of the original image. No entry or None:
            the model gave nothing that could be read as a mask.

    Returns:
        The metrics of each split and subset, and the table of all expressions.

    Raises:
        TypeError: If an id is no integer, or a mask neither bool nor run lengths.
        ValueError: If there is no expression, an id repeats or is unknown, a mask does not have the size of
            its image, or every pixel of a target is ignored.

    Example:
        >>> target = np.array([[True, True]])
        >>> truth = MaskExpression(
        ...     expression_id=1, image_id=7, split="val", height=1, width=2, target=target
        ... )
        >>> evaluate_masks([truth], {1: np.array([[True, False]])}).splits[0].value("ref_mask.giou")
        0.5
    """
    check_ids([item.expression_id for item in expressions], predictions)
    rows = [_row(item, predictions.get(item.expression_id)) for item in expressions]
    table = pd.DataFrame(rows)
    table["iou"] = _ious(table)
    for percent in IOU_PERCENT:
        table[f"right_{percent}"] = table["iou"] >= percent / 100
    splits = []
    for split, part in table.groupby("split", sort=True):
        splits.append(score_split(str(split), ratios(part), REF_MASKS))
        for subset, rest in part[part["subset"] != ""].groupby("subset", sort=True):
            splits.append(score_split(f"{split}/{subset}", ratios(rest), REF_MASKS))
    return MaskEvaluation(splits=tuple(splits), per_expression=table)


def ratios(per_expression: pd.DataFrame) -> dict[str, Ratio]:
    """Return every metric of the definition as two columns over the rows of a table."""
    has_target = per_expression["has_target"]
    answered = per_expression["outcome"] == "answered"
    empty = per_expression["predicted_pixels"] == 0
    every = pd.Series(1.0, index=per_expression.index)
    pixels = per_expression["intersection"], per_expression["union"], "no pixel is true or predicted"
    columns = {
        "ref_mask.ciou": pixels,
        "ref_mask.giou": (per_expression["iou"], every, "no expression"),
        "ref_mask.n_acc": (~has_target & answered & empty, ~has_target, "every expression has a target"),
        "ref_mask.t_acc": (has_target & ~empty, has_target, "no expression has a target"),
        "ref_mask.answered": (answered, every, "no expression"),
    } | {
        f"ref_mask.precision_{percent}": (
            has_target & per_expression[f"right_{percent}"],
            has_target,
            "no expression has a target",
        )
        for percent in IOU_PERCENT
    }
    return {
        name: Ratio(
            numerator_N=numerator.to_numpy(dtype=np.float64),
            denominator_N=denominator.to_numpy(dtype=np.float64),
            undefined=undefined,
        )
        for name, (numerator, denominator, undefined) in columns.items()
    }


def split_labels(labels_HW: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Split a label map into what is meant and what is ignored.

    Args:
        labels_HW: 0 for background, 1 for the target, 255 for ignored pixels.

    Returns:
        ``target`` and ``ignored``, bool, shape (H, W).

    Raises:
        TypeError: If the map is not uint8.
        ValueError: If it does not have two dimensions or holds another label.
    """
    if labels_HW.dtype != np.uint8:
        raise TypeError(f"labels_HW must be uint8, got {labels_HW.dtype}.")
    if labels_HW.ndim != 2:
        raise ValueError(f"labels_HW must have shape (H, W), got {labels_HW.shape}.")
    target_HW, ignored_HW = labels_HW == 1, labels_HW == IGNORE
    other_HW = ~(target_HW | ignored_HW | (labels_HW == 0))
    if other_HW.any():
        raise ValueError(f"labels_HW must hold 0, 1 and {IGNORE}, got {int(labels_HW[other_HW][0])}.")
    return target_HW, ignored_HW


def _row(item: MaskExpression, found: Mask | None) -> dict[str, int | str | bool]:
    where = f"expression {item.expression_id}"
    if found is not None:
        _check_mask(f"{where}: prediction", found, (item.height, item.width))
    target, found, ignored = _alike(item.target, found, item.ignored)
    kept = _outside([target], ignored)
    if kept == 0 and _pixels([target]) > 0:
        raise ValueError(f"{where}: every pixel of the target is ignored; nothing is left to compare.")
    predicted = 0 if found is None else _outside([found], ignored)
    shared = 0 if found is None else _outside([target, found], ignored)
    return {
        "expression_id": item.expression_id,
        "image_id": item.image_id,
        "split": item.split,
        "subset": item.subset,
        "has_target": kept > 0,
        "outcome": "no prediction" if found is None else "answered",
        "target_pixels": kept,
        "predicted_pixels": predicted,
        "intersection": shared,
        "union": kept + predicted - shared,
    }


def _ious(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    shared_N, union_N = table["intersection"].to_numpy(), table["union"].to_numpy()
    nothing_N = (table["outcome"] == "answered").to_numpy(dtype=np.float64)
    return np.where(union_N > 0, shared_N / np.maximum(union_N, 1), nothing_N)


def _alike(target: Mask, found: Mask | None, ignored: Mask | None) -> tuple[Mask, Mask | None, Mask | None]:
    """Bring the masks of an expression into one form: as they are, or as run lengths if they differ."""
    if len({isinstance(mask, np.ndarray) for mask in (target, found, ignored) if mask is not None}) == 1:
        return target, found, ignored
    return (
        _encoded(target),
        None if found is None else _encoded(found),
        None if ignored is None else _encoded(ignored),
    )


def _encoded(mask: Mask) -> Mask:
    if not isinstance(mask, np.ndarray):
        return mask
    rle: Rle = rle_c.encode(np.asfortranarray(mask, dtype=np.uint8))
    return rle


def _outside(masks: list[Mask], ignored: Mask | None) -> int:
    """Count the pixels that lie in every mask and are not ignored."""
    return _pixels(masks) - (0 if ignored is None else _pixels([*masks, ignored]))


def _pixels(masks: list[Mask]) -> int:
    """Count the pixels that lie in every mask; the masks are of one form."""
    arrays = [mask for mask in masks if isinstance(mask, np.ndarray)]
    if arrays:
        return int(np.count_nonzero(reduce(np.logical_and, arrays)))
    return int(rle_c.area(masks[0] if len(masks) == 1 else rle_c.merge(masks, intersect=True)))


def _check_mask(where: str, mask: Mask, size: tuple[int, int]) -> None:
    if isinstance(mask, np.ndarray):
        if mask.dtype != np.bool_:
            raise TypeError(f"{where} must be bool, got {mask.dtype}.")
        shape = mask.shape
    elif isinstance(mask, Mapping) and isinstance(mask.get("counts"), str | bytes) and "size" in mask:
        shape = tuple(mask["size"])
    else:
        raise TypeError(f"{where} must be a bool array or compressed run lengths, got {type(mask).__name__}.")
    if shape != size:
        raise ValueError(f"{where} must have (height, width) {size}, got {tuple(shape)}.")
    if not isinstance(mask, np.ndarray) and not 0 <= rle_c.area(mask) <= size[0] * size[1]:
        raise ValueError(f"{where} covers {rle_c.area(mask)} pixels of {size[0] * size[1]}.")
