"""Inputs of the LVIS scorer: a part of the real annotations with invented results, and small worlds."""

import gzip
import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.instances import ImageDetections, ImageTruth
from evaluation.lvis_truth import LvisCategory, LvisImage
from tasks.data.lvis import read_lvis, read_lvis_results
from tests.evaluation.scenes import rle

VECTORS = Path(__file__).resolve().parents[1] / "data" / "lvis"
LETTERS = ("r", "c", "f", "f")
CATEGORIES = tuple(LvisCategory(name=f"c{n}", frequency=letter) for n, letter in enumerate(LETTERS))
SIZE = 120


@cache
def vector():
    """The split, its results, and what lvis-api says of them."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name in ("lvis_val_part.json", "lvis_results_part.json"):
            paths.append(Path(folder) / name)
            paths[-1].write_bytes(gzip.decompress((VECTORS / f"{name}.gz").read_bytes()))
        split = read_lvis(paths[0])
        results = read_lvis_results(paths[1], split)
    return split, results, json.loads((VECTORS / "official.json").read_text())


def image_of(boxes, categories, *, negative=(), not_exhaustive=(), image_id=1, areas=None):
    """One image of 120 x 120 px with box-shaped masks."""
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    truth = ImageTruth(
        image_id=image_id,
        height=SIZE,
        width=SIZE,
        region_ids=np.arange(1, len(boxes) + 1),
        categories=np.array(categories, dtype=np.int64),
        boxes_xyxy=boxes,
        masks=masks_of(boxes),
        is_crowd=np.zeros(len(boxes), dtype=bool),
    )
    return LvisImage(
        truth=truth,
        areas=np.prod(sides, axis=1) if areas is None else np.array(areas, dtype=np.float64),
        negative=frozenset(negative),
        not_exhaustive=frozenset(not_exhaustive),
    )


def found_of(boxes, categories, scores, *, image_id=1):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return ImageDetections(
        image_id=image_id,
        height=SIZE,
        width=SIZE,
        categories=np.array(categories, dtype=np.int64),
        boxes_xyxy=boxes,
        masks=masks_of(boxes),
        scores=np.array(scores, dtype=np.float64),
    )


def masks_of(boxes):
    return tuple(rle([x, y, r - x, b - y], SIZE, SIZE) for x, y, r, b in boxes.tolist())


def world(seed, *, images=4):
    """A few images with regions of all sizes, detections of every standing near them, equal scores."""
    generator = np.random.default_rng(seed)

    def draw(count):
        side = generator.choice([6, 20, 34, 60, 100], size=(count, 2)) + generator.integers(0, 6, (count, 2))
        corner = generator.integers(0, SIZE - side)
        return np.concatenate([corner, corner + side], axis=1)

    truths, found = [], []
    for image_id in range(1, images + 1):
        count = int(generator.integers(0, 6))
        boxes, categories = draw(count), generator.integers(0, 3, count)
        absent = sorted({0, 1, 2, 3} - set(categories.tolist()))
        negative = [place for place in absent if generator.random() < 0.4]
        others = [place for place in range(4) if place not in negative and generator.random() < 0.3]
        truths.append(
            image_of(boxes, categories, negative=negative, not_exhaustive=others, image_id=image_id)
        )
        near = boxes[generator.integers(0, count, 6)] if count else draw(0)
        moved = np.clip(near + generator.integers(-4, 5, size=near.shape), 0, SIZE)
        candidates = np.concatenate([near, moved, draw(4)])
        wide = (candidates[:, 2:] - candidates[:, :2]).min(axis=1) > 0
        candidates = candidates[wide]
        scores = np.round(generator.random(len(candidates)), 1)
        found.append(
            found_of(candidates, generator.integers(0, 4, len(candidates)), scores, image_id=image_id)
        )
    return truths, found
