"""Semantic segmentation: mean intersection over union from the confusion of pixels of a whole split.

Source: Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective" (IJCV 2015): per
class, right / (true + predicted - right), with pixels summed over all images, then the mean over classes.
Accuracies as in Long et al., "Fully Convolutional Networks for Semantic Segmentation" (2015).

Conventions: pixels with the ignore label take no part, whatever is predicted there. A pixel without a
prediction, or an image without one, is wrong for its class and never a false alarm of another. A class that
is neither true nor predicted anywhere is absent: named in ``undefined_classes``, left out of the mean. A
class that is predicted but nowhere true scores 0 and counts, as in the common tools. ``mean_accuracy`` is
over the classes that are true somewhere.

Shape suffixes:
    H, W = height and width in pixels   K = classes   P = K predictions and "none" as the last one
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import Definition, MetricSpec
from evaluation.instances import check_rising
from evaluation.values import Found, Values, values_of

NOTHING: Final = "(none)"
"""The predicted class of a pixel without a prediction, in the table of confusions."""

SEMANTIC: Final = Definition(
    name="semantic/1",
    iou_percent=(),
    recall_points=0,
    caps=(),
    areas=(),
    conventions=(
        "pixels are summed over all images before any ratio is taken",
        "pixels with the ignore label take no part; pixels without a prediction are wrong",
        "mean_iou: mean over classes that are true or predicted somewhere",
        "mean_accuracy: mean over classes that are true somewhere",
    ),
    metrics=(
        MetricSpec(name="semantic.mean_iou", meaning="mean over classes of intersection over union"),
        MetricSpec(name="semantic.mean_accuracy", meaning="mean over classes of the share of pixels right"),
        MetricSpec(name="semantic.pixel_accuracy", meaning="share of pixels right"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageConfusion:
    """How often each class was taken for each in one image."""

    image_id: int
    pixels_KP: npt.NDArray[np.int64]
    """Pixels by true and by predicted class; the last column counts pixels without a prediction."""
    num_ignored: int
    """Pixels with the ignore label."""

    def __post_init__(self) -> None:
        """Check the table. Raises ValueError or TypeError naming the image."""
        where, table_KP = f"image {self.image_id}", self.pixels_KP
        if table_KP.dtype != np.int64:
            raise TypeError(f"{where}: pixels_KP must be int64, got {table_KP.dtype}.")
        if table_KP.ndim != 2 or table_KP.shape[1] != table_KP.shape[0] + 1:
            raise ValueError(f"{where}: pixels_KP must have shape (K, K + 1), got {table_KP.shape}.")
        if (table_KP < 0).any() or self.num_ignored < 0:
            raise ValueError(f"{where}: numbers of pixels must not be negative.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticEvaluation:
    """Everything that evaluation says about one model on one split."""

    values: Values
    undefined_classes: dict[str, str]
    """Name of a class that has no IoU -> why."""
    per_class: pd.DataFrame
    """One row per class: ``class``, ``iou``, ``accuracy`` (absent where undefined), ``num_true``,
    ``num_predicted``, ``num_right``, in pixels."""
    per_image: pd.DataFrame
    """One row per image: ``image_id``, ``num_pixels`` (not ignored), ``num_ignored``, ``num_right``,
    ``num_unpredicted``, ``mean_iou`` over the classes of that image alone (absent if all is ignored)."""
    confusions: pd.DataFrame
    """One row per image and pair of classes that occurs: ``image_id``, ``true``, ``predicted``, ``pixels``;
    sums of it give every number, under any weighting of the images."""


def count_confusion(
    image_id: int,
    true_HW: npt.NDArray[np.integer],
    predicted_HW: npt.NDArray[np.integer] | None,
    *,
    num_classes: int,
    ignore_label: int,
) -> ImageConfusion:
    """Count the pixels of one image by true and predicted class.

    Args:
        image_id: Of the image.
        true_HW: Class of each pixel from 0, or the ignore label.
        predicted_HW: The same; the ignore label says that nothing is predicted. None: no prediction exists.
        num_classes: Number of classes K.
        ignore_label: A value that is no class, 255 in most data sets.

    Returns:
        The table of the image.

    Raises:
        TypeError: If a map does not hold integers.
        ValueError: If shapes differ, a label is unknown, or the ignore label is a class.
    """
    if num_classes < 1 or 0 <= ignore_label < num_classes:
        raise ValueError(f"ignore_label must be none of the {num_classes} classes, got {ignore_label}.")
    if predicted_HW is None:
        predicted_HW = np.full(true_HW.shape, ignore_label)
    for name, labels_HW in (("true_HW", true_HW), ("predicted_HW", predicted_HW)):
        if not np.issubdtype(labels_HW.dtype, np.integer):
            raise TypeError(f"image {image_id}: {name} must hold integers, got {labels_HW.dtype}.")
        if labels_HW.ndim != 2 or labels_HW.shape != true_HW.shape:
            raise ValueError(
                f"image {image_id}: {name} must have the shape {true_HW.shape} (height, width), "
                f"got {labels_HW.shape}."
            )
        unknown = ((labels_HW < 0) | (labels_HW >= num_classes)) & (labels_HW != ignore_label)
        if unknown.any():
            raise ValueError(
                f"image {image_id}: {name} has the label {labels_HW[unknown][0]}, which is neither one of "
                f"{num_classes} classes nor the ignore label {ignore_label}."
            )
    kept_HW = true_HW != ignore_label
    true, predicted = true_HW[kept_HW].astype(np.int64), predicted_HW[kept_HW].astype(np.int64)
    predicted[predicted == ignore_label] = num_classes
    width = num_classes + 1
    counts = np.bincount(true * width + predicted, minlength=num_classes * width)
    return ImageConfusion(
        image_id=image_id,
        pixels_KP=counts.astype(np.int64).reshape(num_classes, width),
        num_ignored=int((~kept_HW).sum()),
    )


def class_iou(pixels_KP: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the intersection over union of each class, shape (K,), 0 for a class that does not occur.

    Example:
        >>> class_iou(np.array([[3, 1, 0], [2, 4, 0]])).tolist()
        [0.5, 0.5714285714285714]
    """
    right_K = np.diagonal(pixels_KP)
    union_K = pixels_KP.sum(axis=1) + pixels_KP[:, :-1].sum(axis=0) - right_K
    return np.asarray(right_K / np.maximum(union_K, 1), dtype=np.float64)


def evaluate_semantic(images: Sequence[ImageConfusion], *, classes: Sequence[str]) -> SemanticEvaluation:
    """Score the confusions of every image of a split.

    Args:
        images: One table per image, by rising image id.
        classes: Names in the order of their numbers.

    Returns:
        Metrics in [0, 1], undefined if every pixel of the split is ignored; ``mean_iou`` and
        ``mean_accuracy`` count classes, ``pixel_accuracy`` pixels.

    Raises:
        ValueError: If there is no image, ids do not rise, names repeat, or numbers of classes differ.
    """
    _check(images, classes)
    total_KP = np.zeros_like(images[0].pixels_KP)
    for image in images:
        total_KP += image.pixels_KP
    num_true_K, num_predicted_K = total_KP.sum(axis=1), total_KP[:, :-1].sum(axis=0)
    right_K, is_absent_K = np.diagonal(total_KP), (num_true_K + num_predicted_K) == 0
    iou_K, accuracy_K = class_iou(total_KP), right_K / np.maximum(num_true_K, 1)
    found: dict[str, Found] = dict.fromkeys(
        (spec.name for spec in SEMANTIC.metrics), "every pixel has the ignore label"
    )
    if total_KP.any():
        is_true_K = num_true_K > 0
        found = {
            "semantic.mean_iou": (float(iou_K[~is_absent_K].mean()), int((~is_absent_K).sum())),
            "semantic.mean_accuracy": (float(accuracy_K[is_true_K].mean()), int(is_true_K.sum())),
            "semantic.pixel_accuracy": (float(right_K.sum() / total_KP.sum()), int(total_KP.sum())),
        }
    per_class = {
        "class": pd.array(list(classes), dtype="str"),
        "iou": pd.arrays.FloatingArray(iou_K, is_absent_K),
        "accuracy": pd.arrays.FloatingArray(accuracy_K, num_true_K == 0),
        "num_true": num_true_K,
        "num_predicted": num_predicted_K,
        "num_right": right_K,
    }
    return SemanticEvaluation(
        values=values_of(SEMANTIC, found),
        undefined_classes={
            name: "no pixel is or is said to be of this class"
            for name, is_absent in zip(classes, is_absent_K, strict=True)
            if is_absent
        },
        per_class=pd.DataFrame(per_class),
        per_image=_image_table(images),
        confusions=_confusion_table(images, classes),
    )


def _check(images: Sequence[ImageConfusion], classes: Sequence[str]) -> None:
    check_rising([image.image_id for image in images])
    if len(set(classes)) != len(classes) or NOTHING in classes:
        raise ValueError(f"names of classes must differ, also from {NOTHING!r}, got {list(classes)}.")
    for image in images:
        if len(image.pixels_KP) != len(classes):
            raise ValueError(
                f"image {image.image_id} has {len(image.pixels_KP)} classes, {len(classes)} are named."
            )


def _image_table(images: Sequence[ImageConfusion]) -> pd.DataFrame:
    rows, means, is_empty = [], [], []
    for image in images:
        table_KP = image.pixels_KP
        occurs_K = (table_KP.sum(axis=1) + table_KP[:, :-1].sum(axis=0)) > 0
        iou_K = class_iou(table_KP)
        means.append(float(iou_K[occurs_K].mean()) if occurs_K.any() else 0.0)
        is_empty.append(not occurs_K.any())
        rows.append(
            {
                "image_id": image.image_id,
                "num_pixels": int(table_KP.sum()),
                "num_ignored": image.num_ignored,
                "num_right": int(np.diagonal(table_KP).sum()),
                "num_unpredicted": int(table_KP[:, -1].sum()),
            }
        )
    table = pd.DataFrame(rows)
    table["mean_iou"] = pd.arrays.FloatingArray(np.array(means), np.array(is_empty))
    return table


def _confusion_table(images: Sequence[ImageConfusion], classes: Sequence[str]) -> pd.DataFrame:
    names = np.array([*classes, NOTHING], dtype=object)
    places = [np.nonzero(image.pixels_KP) for image in images]
    true = np.concatenate([place[0] for place in places])
    predicted = np.concatenate([place[1] for place in places])
    return pd.DataFrame(
        {
            "image_id": np.repeat(
                np.array([image.image_id for image in images]), [len(place[0]) for place in places]
            ),
            "true": pd.array(names[true], dtype="str"),
            "predicted": pd.array(names[predicted], dtype="str"),
            "pixels": np.concatenate(
                [image.pixels_KP[place] for image, place in zip(images, places, strict=True)]
            ),
        }
    )
