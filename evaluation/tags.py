"""Multi-label recognition: mean average precision and F1 of the best k labels, seen and unseen.

Sources: the protocol of NUS-WIDE and Open Images in Huynh and Elhamifar, "A Shared Multi-Attention Framework
for Multi-Label Zero-Shot Learning" (CVPR 2020), as used by Narayan et al., "Discriminative Region-based
Multi-Label Zero-Shot Learning" (BiAM, arXiv 2108.09301).

Three tasks differ in the labels that compete: ``seen`` (the first ``num_seen``), ``zsl`` (the others) and
``gzsl`` (all). A task keeps the images with at least one positive among its labels, then the labels that any
kept image annotates. Average precision of a label ranks the images that annotate it, by falling score, and
is the mean over its positives of the precision at their ranks; it is not interpolated. ``map`` is the mean
over the kept labels; a label without a positive counts as 0 (``empty="zero"``, the protocol) or is left out
(``empty="skip"``, what most other work does). The best k kept labels of each image are its predictions; a
label that is not annotated there counts as wrong. Precision is right / (k * images), recall right /
positives, F1 their harmonic mean (0 where nothing is right).

Differences: equal scores are read to the model's disadvantage, so that neither the order of images nor that
of labels matters and a constant score earns nothing (published code leaves ties to the sorting routine).
BiAM restricts the labels for the average precision only; here they are restricted for F1 as well.

Only the order of scores counts: logits serve as well as probabilities, and better where these saturate.

Shape suffixes:
    N = images   C = labels   M = annotated images of one label
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import Definition, MetricSpec
from evaluation.values import Found, Values, values_of

Empty = Literal["zero", "skip"]
Task = Literal["seen", "zsl", "gzsl"]
TASKS: Final[tuple[Task, ...]] = ("seen", "zsl", "gzsl")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TagRecords:
    """Scores and annotations of a split; any rows of it are records again, which is how to resample."""

    image_ids: npt.NDArray[np.int64]
    """Shape (N,)."""
    label_ids: tuple[str, ...]
    """Identifiers, not display names: two labels may share a name."""
    scores_NC: npt.NDArray[np.floating]
    """Finite; higher means more likely."""
    annotations_NC: npt.NDArray[np.integer]
    """1 present, -1 absent, 0 unknown."""

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError or TypeError naming the image and the label."""
        shape = (len(self.image_ids), len(self.label_ids))
        if self.image_ids.dtype != np.int64 or self.image_ids.ndim != 1:
            raise TypeError(f"image_ids must be int64 of shape (N,), got {self.image_ids.dtype}.")
        if not np.issubdtype(self.scores_NC.dtype, np.floating):
            raise TypeError(f"scores_NC must be floating, got {self.scores_NC.dtype}.")
        if not np.issubdtype(self.annotations_NC.dtype, np.signedinteger):
            raise TypeError(f"annotations_NC must be a signed integer, got {self.annotations_NC.dtype}.")
        for name, array in (("scores_NC", self.scores_NC), ("annotations_NC", self.annotations_NC)):
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
        for name, items in (("image_ids", self.image_ids.tolist()), ("label_ids", list(self.label_ids))):
            if len(set(items)) != len(items):
                raise ValueError(f"{name} repeat: {next(item for item in items if items.count(item) > 1)!r}.")
        self._refuse("score must be finite", self.scores_NC, np.isfinite(self.scores_NC))
        known = (self.annotations_NC >= -1) & (self.annotations_NC <= 1)
        self._refuse("annotation must be 1, 0 or -1", self.annotations_NC, known)

    def _refuse(self, rule: str, table_NC: npt.NDArray[np.generic], valid_NC: npt.NDArray[np.bool_]) -> None:
        if not valid_NC.all():
            n, c = np.argwhere(~valid_NC)[0]
            raise ValueError(
                f"image {self.image_ids[n]}, label {self.label_ids[c]!r}: {rule}, got {table_NC[n, c]}."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TagEvaluation:
    """Everything that evaluation says about one model on one split."""

    values: Values
    per_image: pd.DataFrame
    """One row per image: ``image_id``, and for each task ``<task>_kept``, ``<task>_positives`` and for each
    k ``<task>_right_<k>``; 0 for an image that the task leaves out."""
    per_label: pd.DataFrame
    """One row per task and kept label: ``task``, ``label``, ``positives``, ``negatives``, ``ap`` (absent
    without a positive)."""


def tag_definition(*, num_seen: int, top: tuple[int, ...], empty: Empty) -> Definition:
    """Return what the numbers mean, with every choice that changes them."""
    specs = []
    for task in TASKS:
        specs.append(MetricSpec(name=f"{task}.map", meaning="mean average precision over the kept labels"))
        for k in top:
            specs += [
                MetricSpec(name=f"{task}.precision_{k}", meaning=f"share of the best {k} that are right"),
                MetricSpec(name=f"{task}.recall_{k}", meaning=f"share of positives among the best {k}"),
                MetricSpec(name=f"{task}.f1_{k}", meaning="harmonic mean of precision and recall"),
            ]
    return Definition(
        name="tags/1",
        iou_percent=(),
        recall_points=0,
        caps=top,
        areas=(),
        conventions=(
            f"the first {num_seen} labels are seen",
            "a task keeps images with a positive among its labels, then labels annotated in a kept image",
            f"average precision of a label without a positive: {empty}",
            "unknown annotations take no part in average precision and are wrong among the best k",
            "equal scores are read to the model's disadvantage",
        ),
        metrics=tuple(specs),
    )


def evaluate_tags(
    records: TagRecords, *, num_seen: int, top: tuple[int, ...] = (3, 5), empty: Empty = "zero"
) -> TagEvaluation:
    """Score the labels of every image of a split for the three tasks.

    Args:
        records: Scores and annotations.
        num_seen: How many labels, the first ones, were trained on.
        top: Numbers of labels an image is given for F1.
        empty: What a kept label without a positive contributes to ``map``.

    Returns:
        Numbers named ``<task>.map``, ``<task>.precision_<k>``, ``<task>.recall_<k>`` and ``<task>.f1_<k>``
        in [0, 1], undefined for a task without labels or without positives; ``map`` counts labels,
        precision the labels given, recall and F1 the positives.

    Raises:
        ValueError: If there is no image, ``num_seen`` or ``empty`` is out of range, or a k is not from 1 to
            the number of kept labels or repeats.
    """
    count = len(records.label_ids)
    if not len(records.image_ids):
        raise ValueError("no image to score; a metric over nothing is refused.")
    if not 0 <= num_seen <= count:
        raise ValueError(f"num_seen must be from 0 to the {count} labels, got {num_seen}.")
    if empty not in ("zero", "skip"):
        raise ValueError(f"empty must be 'zero' or 'skip', got {empty!r}.")
    if not top or len(set(top)) != len(top):
        raise ValueError(f"top must name different numbers of labels, got {top}.")
    columns = {"seen": slice(0, num_seen), "zsl": slice(num_seen, count), "gzsl": slice(0, count)}
    found: dict[str, Found] = {}
    images, labels = pd.DataFrame({"image_id": records.image_ids}), []
    for task in TASKS:
        numbers, by_image, by_label = _score_task(records, columns[task], top=top, empty=empty)
        found |= {f"{task}.{name}": item for name, item in numbers.items()}
        images = images.join(by_image.add_prefix(f"{task}_"))
        by_label.insert(0, "task", task)
        labels.append(by_label)
    return TagEvaluation(
        values=values_of(tag_definition(num_seen=num_seen, top=top, empty=empty), found),
        per_image=images,
        per_label=pd.concat(labels, ignore_index=True),
    )


def average_precision(scores_M: npt.NDArray[np.floating], is_positive_M: npt.NDArray[np.bool_]) -> float:
    """Return the mean, over the positives, of the precision at their ranks.

    Among equal scores the negatives rank first.

    Raises:
        ValueError: If there is no positive.

    Example:
        >>> average_precision(np.array([0.6, 0.7]), np.array([True, False]))
        0.5
    """
    if not is_positive_M.any():
        raise ValueError("average precision needs at least one positive.")
    order_M = np.lexsort((is_positive_M, -scores_M))
    rank = np.flatnonzero(is_positive_M[order_M]) + 1
    return float((np.arange(1, len(rank) + 1) / rank).mean())


def right_among_best(
    scores_NC: npt.NDArray[np.floating], is_positive_NC: npt.NDArray[np.bool_], k: int
) -> npt.NDArray[np.int64]:
    """Count the positives among the k best labels of each image, shape (N,).

    Among equal scores the labels that are not positive come first.

    Raises:
        ValueError: If k is not from 1 to the number of labels.
    """
    if not 1 <= k <= scores_NC.shape[1]:
        raise ValueError(f"k must be from 1 to the {scores_NC.shape[1]} labels that compete, got {k}.")
    place = scores_NC.shape[1] - k
    last_N1 = np.partition(scores_NC, place, axis=1)[:, place, None]
    above_NC, equal_NC = scores_NC > last_N1, scores_NC == last_N1
    free_N = k - above_NC.sum(axis=1) - (equal_NC & ~is_positive_NC).sum(axis=1)
    right_N = (above_NC & is_positive_NC).sum(axis=1) + np.maximum(free_N, 0)
    return np.asarray(right_N, dtype=np.int64)


def _score_task(
    records: TagRecords, columns: slice, *, top: tuple[int, ...], empty: Empty
) -> tuple[dict[str, Found], pd.DataFrame, pd.DataFrame]:
    names = ["map", *(f"{quantity}_{k}" for k in top for quantity in ("precision", "recall", "f1"))]
    annotations_NC = records.annotations_NC[:, columns]
    kept_N = (annotations_NC == 1).any(axis=1)
    kept_C = (annotations_NC[kept_N] != 0).any(axis=0)
    images: dict[str, npt.NDArray[np.generic]] = {
        "kept": kept_N,
        "positives": (annotations_NC == 1).sum(axis=1),
        **{f"right_{k}": np.zeros(len(kept_N), dtype=np.int64) for k in top},
    }
    ids = [name for name, kept in zip(records.label_ids[columns], kept_C, strict=True) if kept]
    annotations_NC = annotations_NC[np.ix_(kept_N, kept_C)]
    scores_NC = records.scores_NC[:, columns][np.ix_(kept_N, kept_C)]
    labels = _label_table(scores_NC, annotations_NC, ids)
    if not kept_N.any():
        reason = "no image has a positive among its labels" if len(kept_C) else "the task has no label"
        return dict.fromkeys(names, reason), pd.DataFrame(images), labels
    ap = labels["ap"].dropna() if empty == "skip" else labels["ap"].fillna(0.0)
    found: dict[str, Found] = {"map": (float(ap.mean()), len(ap))}
    positives, is_positive_NC = int((annotations_NC == 1).sum()), annotations_NC == 1
    for k in top:
        right_N = right_among_best(scores_NC, is_positive_NC, k)
        images[f"right_{k}"][kept_N] = right_N
        right, given = int(right_N.sum()), k * len(right_N)
        found[f"precision_{k}"] = (right / given, given)
        found[f"recall_{k}"] = (right / positives, positives)
        found[f"f1_{k}"] = (2 * right / (given + positives), positives)
    return found, pd.DataFrame(images), labels


def _label_table(
    scores_NC: npt.NDArray[np.floating], annotations_NC: npt.NDArray[np.integer], ids: list[str]
) -> pd.DataFrame:
    positives_C, negatives_C = (annotations_NC == 1).sum(axis=0), (annotations_NC == -1).sum(axis=0)
    ap_C = np.zeros(len(ids))
    for c in np.flatnonzero(positives_C):
        known_N = annotations_NC[:, c] != 0
        ap_C[c] = average_precision(scores_NC[known_N, c], annotations_NC[known_N, c] == 1)
    return pd.DataFrame(
        {
            "label": pd.array(ids, dtype="str"),
            "positives": positives_C,
            "negatives": negatives_C,
            "ap": pd.arrays.FloatingArray(ap_C, positives_C == 0),
        }
    )
