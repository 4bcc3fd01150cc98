"""Invented scenes of the size of COCO's validation split, the same for every scorer.

Objects are blobs: ellipses with a ragged outline of ``CORNERS`` corners. A detection is an object drawn again
with its outline moved, or a blob where nothing is; each image has the same number of detections.

Shape suffixes:
    N = blobs   C = corners of an outline
"""

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle_c

from evaluation.instances import ImageDetections, ImageTruth
from evaluation.ref_masks import Mask, MaskExpression

HEIGHT, WIDTH, CORNERS = 480, 640, 24
CATEGORIES = tuple(f"category {number}" for number in range(1, 81))


Records = tuple[list[ImageTruth], list[ImageDetections]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a scene is."""

    images: int
    objects: int
    detections: int
    """Of each image."""


COCO_SIZE = Size(images=5000, objects=36_000, detections=100)
QUICK_SIZE = Size(images=40, objects=280, detections=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blobs:
    """Blobs of all images."""

    image: npt.NDArray[np.int64]
    category: npt.NDArray[np.int64]
    ellipse: npt.NDArray[np.float64]
    """Centre x and y and both half axes in pixels, shape (N, 4)."""
    outline: npt.NDArray[np.float64]
    """Distance of each corner from the centre, where the ellipse is 1, shape (N, C)."""


def documents(size: Size, *, seed: int = 0, model: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Invent a split: COCO's annotations, and results with boxes and masks, as they stand in JSON.

    A fiftieth of the objects are crowds; scores have four digits, so that some are equal.

    Args:
        size: How large it is.
        seed: Of the objects.
        model: Of the detections.
    """
    rng = np.random.default_rng(seed)
    true = _objects(size, rng)
    is_crowd_N = rng.random(size.objects) < 0.02
    found, score_N = _found(size, true, np.random.default_rng([seed, model]))
    annotations = [
        item | {"id": number, "iscrowd": int(crowd)}
        for number, (item, crowd) in enumerate(zip(_items(true), is_crowd_N.tolist(), strict=True), start=1)
    ]
    results = [
        {name: item[name] for name in ("image_id", "category_id", "bbox", "segmentation")} | {"score": score}
        for item, score in zip(_items(found), score_N.tolist(), strict=True)
    ]
    document = {
        "info": {},
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(1, size.images + 1)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(CATEGORIES, start=1)],
        "annotations": annotations,
    }
    return document, results


def _objects(size: Size, rng: np.random.Generator) -> _Blobs:
    """Draw the objects: common and rare categories, small and large ones, and a few kinds in each image."""
    image_N = np.sort(rng.integers(0, size.images, size.objects))
    chances = 1.0 / np.arange(1, len(CATEGORIES) + 1) ** 0.8
    kinds = rng.choice(len(CATEGORIES), size=(size.images, 3), p=chances / chances.sum())
    category_N = kinds[image_N, rng.integers(0, 3, size.objects)]
    return _blobs(image_N, category_N, rng)


def _blobs(
    image_N: npt.NDArray[np.int64], category_N: npt.NDArray[np.int64], rng: np.random.Generator
) -> _Blobs:
    count = len(image_N)
    radius_N2 = np.exp(rng.uniform(np.log(5), np.log(140), (count, 1))) * rng.uniform(0.6, 1.4, (count, 2))
    centre_N2 = rng.uniform(0.05, 0.95, (count, 2)) * (WIDTH, HEIGHT)
    return _Blobs(
        image=image_N,
        category=category_N,
        ellipse=np.concatenate([centre_N2, radius_N2], axis=1),
        outline=rng.uniform(0.75, 1.0, (count, CORNERS)),
    )


def _found(size: Size, true: _Blobs, rng: np.random.Generator) -> tuple[_Blobs, npt.NDArray[np.float64]]:
    """Draw the detections: three of ten are objects again, half of the others of kinds seen in the image."""
    image_N = np.repeat(np.arange(size.images), size.detections)
    count_I = np.bincount(true.image, minlength=size.images)
    first_I = np.cumsum(count_I) - count_I
    place_N = np.minimum(
        first_I[image_N] + rng.integers(0, np.maximum(count_I, 1)[image_N]), size.objects - 1
    )
    has_N = count_I[image_N] > 0
    again_N = has_N & (rng.random(len(image_N)) < 0.3)
    near_N = has_N & (rng.random(len(image_N)) < 0.5)
    category_N = np.where(
        again_N | near_N, true.category[place_N], rng.integers(0, len(CATEGORIES), len(image_N))
    )
    blobs = _blobs(image_N, category_N, rng)
    spread_N1 = rng.exponential(0.08, (len(image_N), 1))
    moved_N4 = true.ellipse[place_N]
    moved_N4 = np.concatenate(
        [
            moved_N4[:, :2] + rng.normal(0, 1, (len(image_N), 2)) * spread_N1 * moved_N4[:, 2:],
            moved_N4[:, 2:] * np.exp(rng.normal(0, 1, (len(image_N), 2)) * spread_N1),
        ],
        axis=1,
    )
    blobs.ellipse[again_N] = moved_N4[again_N]
    blobs.outline[again_N] = true.outline[place_N[again_N]]
    score_N = np.where(again_N, rng.beta(4, 2, len(image_N)), rng.beta(1.5, 5, len(image_N)))
    return blobs, score_N.round(4)


def _items(blobs: _Blobs) -> list[dict[str, Any]]:
    """Draw every blob as compressed run lengths, with its box and area."""
    turn_C = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    items = []
    rows = zip(blobs.image.tolist(), blobs.category.tolist(), blobs.ellipse, blobs.outline, strict=True)
    for image, category, (x, y, a, b), outline_C in rows:
        across_C = np.clip(x + a * outline_C * np.cos(turn_C), 0, WIDTH)
        down_C = np.clip(y + b * outline_C * np.sin(turn_C), 0, HEIGHT)
        mask = rle_c.frPyObjects([np.stack([across_C, down_C], axis=1).ravel().tolist()], HEIGHT, WIDTH)[0]
        left, top, right, bottom = (
            float(side) for side in (across_C.min(), down_C.min(), across_C.max(), down_C.max())
        )
        items.append(
            {
                "image_id": image + 1,
                "category_id": category + 1,
                "bbox": [left, top, max(right - left, 1.0), max(bottom - top, 1.0)],
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": mask["counts"].decode("ascii")},
                "area": float(rle_c.area(mask)),
            }
        )
    return items


def columns(items: list[dict[str, Any]], *, num_images: int) -> list[dict[str, Any]]:
    """Turn COCO's dictionaries into the arrays of each image: what a model or a reader holds in memory."""
    image_N = np.array([item["image_id"] for item in items], dtype=np.int64)
    order_N = np.argsort(image_N, kind="stable")
    bounds = np.searchsorted(image_N[order_N], np.arange(1, num_images + 2))
    out = []
    for image in range(num_images):
        own = [items[place] for place in order_N[bounds[image] : bounds[image + 1]]]
        boxes_N4 = np.array([item["bbox"] for item in own], dtype=np.float64).reshape(-1, 4)
        boxes_N4[:, 2:] += boxes_N4[:, :2]
        out.append(
            {
                "image_id": image + 1,
                "height": HEIGHT,
                "width": WIDTH,
                "categories": np.array([item["category_id"] - 1 for item in own], dtype=np.int64),
                "boxes_xyxy": boxes_N4,
                "masks": tuple(item["segmentation"] for item in own if "segmentation" in item),
            }
            | {
                name: np.array([item[key] for item in own], dtype=kind)
                for name, key, kind in (
                    ("region_ids", "id", np.int64),
                    ("is_crowd", "iscrowd", np.bool_),
                    ("scores", "score", np.float64),
                )
                if key in items[0]
            }
        )
    return out


def records(truth: list[dict[str, Any]], found: list[dict[str, Any]]) -> Records:
    """Check the arrays of every image, as every caller has to."""
    return [ImageTruth(**item) for item in truth], [ImageDetections(**item) for item in found]


def write(size: Size, folder: Path, *, seed: int = 0) -> None:
    """Write ``truth.json`` and the results with boxes, masks and both, for processes to read."""
    document, results = documents(size, seed=seed)
    kept = {"box": {"segmentation"}, "mask": {"bbox"}, "both": set()}
    files: dict[str, Any] = {"truth": document} | {
        # pycocotools takes the boxes where there are any, also to say how large a mask is.
        name: [{key: value for key, value in item.items() if key not in without} for item in results]
        for name, without in kept.items()
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def expressions(count: int, *, seed: int = 0) -> tuple[list[MaskExpression], dict[int, Mask]]:
    """Invent expressions of one blob each, and for each the blob drawn again, both as run lengths."""
    rng = np.random.default_rng(seed)
    blobs = _blobs(np.arange(count), np.zeros(count, dtype=np.int64), rng)
    targets = [item["segmentation"] for item in _items(blobs)]
    side_N2 = blobs.ellipse[:, 2:]
    blobs.ellipse[:, :2] += rng.normal(0, 0.05, side_N2.shape) * side_N2
    side_N2 *= np.exp(rng.normal(0, 0.05, side_N2.shape))
    found = [item["segmentation"] for item in _items(blobs)]
    truths = [
        MaskExpression(
            expression_id=number, image_id=number, split="val", height=HEIGHT, width=WIDTH, target=target
        )
        for number, target in enumerate(targets)
    ]
    return truths, dict(enumerate(found))


def as_arrays(
    truths: list[MaskExpression], found: dict[int, Mask]
) -> tuple[list[MaskExpression], dict[int, Mask]]:
    """Decode the masks of expressions to bool arrays."""

    def decoded(mask: Mask) -> Mask:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools and NumPy 2
            return np.ascontiguousarray(rle_c.decode(mask).astype(bool))

    return (
        [replace(item, target=decoded(item.target)) for item in truths],
        {number: decoded(mask) for number, mask in found.items()},
    )
