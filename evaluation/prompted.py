"""Detection by a language model that is told the categories of the image: precision and recall at IoU 0.5.

Source: the protocol of Jiang et al., "ChatRex: Taming Multimodal LLM for Joint Perception and Understanding"
(arXiv 2411.18363), table 2, for models that report boxes without scores. The model is asked for the
categories that occur in the image's truth, so that absent ones cost it nothing: an easier task than open
detection, and its numbers are never to be compared with those of open detection. The recalls of 43.9 for
Qwen2-VL-7B and 72.8 for ChatRex-7B on COCO val are of this kind; the paper does not say whether they are
micro or class means, so both are given.

Choices where the paper is silent. In the order of the answer each box takes the free region of its category
with the highest IoU of at least 0.5, the last one among equals; a region is taken once. A box that finds only
a crowd of its category is neither right nor wrong; a crowd is never missed. A statement from which no box can
be read, and a box under a category that was not asked for, is wrong and counted. Micro: sums over all images
and categories. Class mean of recall: over categories with regions. Class mean of precision: over categories
with regions or with counted boxes, 0 where nothing is claimed, so that silence buys nothing; statements that
name no category enter the micro precision only.

``oracle_recall50`` stands beside it if the boxes were chosen among proposals: the share of regions with an
IoU of at least 0.5 to some proposal. Every box must then be one of them, to the last bit, which makes it an
upper bound of ``recall50``.

Shape suffixes:
    D = boxes of the answer   G = regions of the image   K = categories   N = images
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import Definition, MetricSpec
from evaluation.instances import ImageTruth
from evaluation.masks import box_iou
from evaluation.matching import NOBODY, greedy
from evaluation.proposals import ImageProposals, check_boxes, check_images, covered
from evaluation.values import Found, Values, values_of

UNNAMED: Final = -1
"""The category of a box whose name is none of the list."""

PROMPTED: Final = Definition(
    name="prompted-detection/1",
    iou_percent=(50,),
    recall_points=0,
    caps=(),
    areas=(),
    conventions=(
        "the model is asked for the categories that occur in the image's truth; not open detection",
        "boxes match greedily in the order of the answer, within a category, at box IoU of at least 0.5",
        "a box that finds only a crowd is neither right nor wrong; a crowd is never missed",
        "unreadable statements and boxes of categories that were not asked for are wrong",
        "class means: recall over categories with regions, precision also over those only claimed; "
        "precision is 0 where nothing is claimed",
    ),
    metrics=(
        MetricSpec(name="prompted.precision50", meaning="share of counted statements that match"),
        MetricSpec(name="prompted.recall50", meaning="share of regions found"),
        MetricSpec(name="prompted.class_precision50", meaning="mean over categories of precision"),
        MetricSpec(name="prompted.class_recall50", meaning="mean over categories of recall"),
        MetricSpec(name="prompted.oracle_recall50", meaning="share of regions that some proposal covers"),
        MetricSpec(name="prompted.class_oracle_recall50", meaning="mean over categories of oracle_recall50"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageAnswer:
    """What was read from the answer about one image, in its order.

    A parser that reads places of proposals gives one that is repeated under a category once; a box that is
    written twice is two statements, of which one is wrong.
    """

    image_id: int
    categories: npt.NDArray[np.int64]
    """Place in the list of categories, or ``UNNAMED``, shape (D,)."""
    boxes_xyxy: npt.NDArray[np.float64]
    """Corners in pixels of the original image, shape (D, 4)."""
    num_unreadable: int = 0
    """Statements from which no box can be read, also for want of a positive area; each one is wrong."""

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError or TypeError naming the image and the box."""
        where = f"image {self.image_id} of the answers"
        check_boxes(where, self.boxes_xyxy)
        if self.categories.dtype != np.int64:
            raise TypeError(f"{where}: categories must be int64, got {self.categories.dtype}.")
        if self.categories.shape != (len(self.boxes_xyxy),):
            raise ValueError(
                f"{where}: categories must have shape {(len(self.boxes_xyxy),)}, got {self.categories.shape}."
            )
        if len(self.categories) and self.categories.min() < UNNAMED:
            raise ValueError(
                f"{where}: category must be at least {UNNAMED}, got {int(self.categories.min())}."
            )
        if self.num_unreadable < 0:
            raise ValueError(f"{where}: num_unreadable must be at least 0, got {self.num_unreadable}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptedEvaluation:
    """Everything that evaluation says about the answers of one model on one split."""

    values: Values
    per_image: pd.DataFrame
    """One row per image: ``image_id``, ``num_regions``, ``tp``, ``fp``, ``fn``, ``ignored`` (found a crowd),
    ``not_asked`` and ``unreadable`` (both part of ``fp``), and with proposals ``covered``."""
    counts: pd.DataFrame
    """One row per image and category with any of them: ``image_id``, ``category``, ``tp``, ``fp``, ``fn`` and
    with proposals ``covered``; sums of it and of ``per_image`` give every number."""


def categories_to_ask(truth: ImageTruth) -> tuple[int, ...]:
    """Return the categories that a prompt for this image names: all that occur in it, crowds too."""
    return tuple(np.unique(truth.categories).tolist())


def evaluate_prompted(
    truths: Sequence[ImageTruth],
    answers: Sequence[ImageAnswer],
    *,
    categories: Sequence[str],
    proposals: Sequence[ImageProposals] | None = None,
) -> PromptedEvaluation:
    """Score the answers for every image of a split.

    Args:
        truths: The regions, one entry per image, by rising image id.
        answers: One entry per image in the same order, also for images without a box.
        categories: Names in the order of their numbers.
        proposals: What every box was chosen from; None for a model that writes boxes itself.

    Returns:
        Metrics and tables; recalls are undefined without a region, the oracle without proposals.
        ``recall50 <= oracle_recall50``, in all and per category.

    Raises:
        ValueError: If the images differ or there is none, a category is unknown, or a box is no proposal.
    """
    image_ids = [item.image_id for item in truths]
    check_images(image_ids, [item.image_id for item in answers], name="answers")
    _check_categories(truths, answers, categories)
    if proposals is not None:
        check_images(image_ids, [item.image_id for item in proposals], name="proposals")
        for answer, offered in zip(answers, proposals, strict=True):
            _check_chosen(answer, offered)
    rows, parts = [], []
    for index, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
        row, part = _count(truth, answer, len(categories))
        if proposals is not None:
            is_found_G = covered(truth, proposals[index].boxes_xyxy) & ~truth.is_crowd
            row["covered"] = int(is_found_G.sum())
            part["covered"] = np.bincount(truth.categories[is_found_G], minlength=len(categories))
        rows.append(row)
        parts.append(part)
    per_image = pd.DataFrame(rows)
    sums = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    found = _numbers(per_image, {name: sum_NK.sum(axis=0) for name, sum_NK in sums.items()})
    n, k = np.nonzero(sums["tp"] + sums["fp"] + sums["fn"])
    names = np.array(categories, dtype=object)[k]
    columns = {"image_id": np.array(image_ids)[n], "category": pd.array(names, dtype="str")}
    return PromptedEvaluation(
        values=values_of(PROMPTED, found),
        per_image=per_image,
        counts=pd.DataFrame(columns | {name: sum_NK[n, k] for name, sum_NK in sums.items()}),
    )


def _check_categories(
    truths: Sequence[ImageTruth], answers: Sequence[ImageAnswer], categories: Sequence[str]
) -> None:
    if len(set(categories)) != len(categories):
        raise ValueError(f"names of categories must differ, got {list(categories)}.")
    for name, items in (("regions", truths), ("answers", answers)):
        for item in items:
            if len(item.categories) and int(item.categories.max()) >= len(categories):
                raise ValueError(
                    f"image {item.image_id} of the {name}: category {int(item.categories.max())} is not one "
                    f"of {len(categories)}."
                )


def _check_chosen(answer: ImageAnswer, offered: ImageProposals) -> None:
    known = set(map(tuple, offered.boxes_xyxy.tolist()))
    for box in answer.boxes_xyxy.tolist():
        if tuple(box) not in known:
            raise ValueError(
                f"image {answer.image_id}: box {box} of the answer is none of its {len(known)} proposals; "
                "their recall is no bound for it."
            )


def _count(
    truth: ImageTruth, answer: ImageAnswer, num_categories: int
) -> tuple[dict[str, int], dict[str, npt.NDArray[np.int64]]]:
    iou_DG = box_iou(answer.boxes_xyxy, truth.boxes_xyxy, truth.is_crowd)
    iou_DG = np.where(answer.categories[:, None] == truth.categories, iou_DG, 0.0)
    region_D = greedy(iou_DG, np.zeros(len(answer.categories)), truth.is_crowd)[0]
    is_matched_D = region_D != NOBODY
    is_ignored_D = is_matched_D.copy()
    is_ignored_D[is_matched_D] = truth.is_crowd[region_D[is_matched_D]]
    is_right_D = is_matched_D & ~is_ignored_D

    def count(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.bincount(numbers[numbers != UNNAMED], minlength=num_categories).astype(np.int64)

    tp_K = count(answer.categories[is_right_D])
    fn_K = count(truth.categories[~truth.is_crowd]) - tp_K
    row = {
        "image_id": truth.image_id,
        "num_regions": int((~truth.is_crowd).sum()),
        "tp": int(is_right_D.sum()),
        "fp": int((~is_matched_D).sum()) + answer.num_unreadable,
        "fn": int(fn_K.sum()),
        "ignored": int(is_ignored_D.sum()),
        "not_asked": int((~np.isin(answer.categories, truth.categories)).sum()),
        "unreadable": answer.num_unreadable,
    }
    return row, {"tp": tp_K, "fp": count(answer.categories[~is_matched_D]), "fn": fn_K}


def _numbers(per_image: pd.DataFrame, sums: dict[str, npt.NDArray[np.int64]]) -> dict[str, Found]:
    regions, right = int(per_image["num_regions"].sum()), int(per_image["tp"].sum())
    claimed, regions_K = right + int(per_image["fp"].sum()), sums["tp"] + sums["fn"]
    has_K, claimed_K = regions_K > 0, sums["tp"] + sums["fp"]
    if not regions:
        return dict.fromkeys((spec.name for spec in PROMPTED.metrics), "no image has a region")
    precision_K = (sums["tp"] / np.maximum(claimed_K, 1))[has_K | (claimed_K > 0)]
    found: dict[str, Found] = {
        "prompted.precision50": (right / claimed if claimed else 0.0, claimed),
        "prompted.recall50": (right / regions, regions),
        "prompted.class_precision50": (float(precision_K.mean()), len(precision_K)),
        "prompted.class_recall50": (float((sums["tp"][has_K] / regions_K[has_K]).mean()), int(has_K.sum())),
        "prompted.oracle_recall50": "the boxes were not chosen among proposals",
        "prompted.class_oracle_recall50": "the boxes were not chosen among proposals",
    }
    if "covered" in sums:
        share_K = sums["covered"][has_K] / regions_K[has_K]
        found["prompted.oracle_recall50"] = (int(per_image["covered"].sum()) / regions, regions)
        found["prompted.class_oracle_recall50"] = (float(share_K.mean()), int(has_K.sum()))
    return found
