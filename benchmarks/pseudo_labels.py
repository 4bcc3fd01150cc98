"""How good are masks made from boxes? By propagation alone, by a trained segmenter, and boxes filled.

    python benchmarks/pseudo_labels.py --model artifacts/segmenter

Labels the boxes of ``data/sample`` val through the code of ``groundwork pseudo-label``, compares each mask
with the true one, and stores the mean IoU with a percentile interval from a bootstrap over images. ``iou`` is
over the boxes that got a mask; in ``iou_with_boxes`` the others count with the IoU of their filled box, which
is what remains of them. The numbers of the propagation were chosen on train, and a segmenter learnt from the
boxes of train. Takes a minute.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.machine import describe
from evaluation.bootstrap import draw_weights
from models.segmentation.box_carving import box_pixels
from tasks.data.coco import clip_box, read_mask, read_split
from tasks.data.rle import decode_mask
from tasks.operations.pseudo_labelling import LABELS, PseudoLabelling, label_boxes

ROOT = Path(__file__).resolve().parents[1]
ALPHA, RESAMPLES, SEED = 0.05, 2000, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One annotation with its true mask."""

    image: int
    """Place of its image."""
    mask: NDArray[np.bool_]
    filled_iou: float
    """Of its filled box with the true mask."""


def main() -> None:
    """Label, compare, print the table, store the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, default=ROOT / "data" / "sample")
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", type=Path, help="directory of a segmenter; without it, it is left out")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "pseudo_labels.json")
    arguments = parser.parse_args()
    truths, num_images = read_truths(arguments.dataset, arguments.split)
    weight_BI = draw_weights(num_images, resamples=RESAMPLES, seed=SEED)
    methods: dict[str, Path | None] = {"propagation": None}
    if arguments.model:
        methods["segmenter"] = arguments.model
    results = {}
    for name, model in methods.items():
        with tempfile.TemporaryDirectory() as folder:
            wanted = PseudoLabelling(
                source=arguments.dataset,
                split=arguments.split,
                out=Path(folder) / "out",
                model=model,
                workers=arguments.workers,
            )
            started = time.monotonic()
            info = label_boxes(wanted)
            seconds = time.monotonic() - started
            document = json.loads((wanted.out / LABELS).read_text(encoding="utf-8"))
        rows = {row["id"]: row for row in document["annotations"]}
        results[name] = {
            **compare(truths, rows, weight_BI),
            "refused": info["counts"]["refused"],
            "seconds": round(seconds, 1),
            "images_a_second": round(num_images / seconds, 2),
            "parameters": info["parameters"],
        }
    document = {
        "machine": describe(),
        "split": arguments.split,
        "images": num_images,
        "boxes": len(truths),
        "workers": arguments.workers,
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "methods": results,
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def read_truths(dataset: Path, split: str) -> tuple[dict[int, Truth], int]:
    """Read the true masks of a split by annotation id, crowds left out, and count its images."""
    tables = read_split(dataset, split)
    sizes = {row["id"]: (row["height"], row["width"]) for row in tables.images}
    places = {number: place for place, number in enumerate(sizes)}
    truths = {}
    for row in tables.annotations:
        if row.get("iscrowd", 0):
            continue
        size = sizes[row["image_id"]]
        mask = decode_mask(read_mask(row["segmentation"], *size))
        left, top, right, bottom = box_pixels(clip_box(row["bbox"], *size), size)
        filled = np.zeros(size, np.bool_)
        filled[top:bottom, left:right] = True
        truths[row["id"]] = Truth(image=places[row["image_id"]], mask=mask, filled_iou=iou(filled, mask))
    return truths, len(sizes)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks that are not both empty."""
    return float((first & second).sum() / (first | second).sum())


def compare(
    truths: dict[int, Truth], rows: dict[int, dict[str, Any]], weight_BI: NDArray[np.float64]
) -> dict[str, Any]:
    """Compare the masks of a file with the true ones."""
    image, found, filled, all_found, score = [], [], [], [], []
    for number, truth in truths.items():
        row = rows[number]
        value = truth.filled_iou
        if "segmentation" in row:
            value = iou(decode_mask(read_mask(row["segmentation"], *truth.mask.shape)), truth.mask)
            image.append(truth.image)
            found.append(value)
            filled.append(truth.filled_iou)
            score.append(row["score"])
        all_found.append(value)
    every = [truth.image for truth in truths.values()], [truth.filled_iou for truth in truths.values()]
    return {
        "masks": len(found),
        "iou": interval(image, found, weight_BI),
        "iou_of_filled_boxes": interval(image, filled, weight_BI),
        "iou_minus_filled": interval(image, list(np.subtract(found, filled)), weight_BI),
        "iou_with_boxes": interval(every[0], all_found, weight_BI),
        "iou_of_all_filled_boxes": interval(*every, weight_BI),
        "score_iou_rank_correlation": round(float(spearmanr(score, found).statistic), 4),
    }


def interval(image: list[int], values: list[float], weight_BI: NDArray[np.float64]) -> list[float]:
    """Return the mean over boxes with low and high end; images are what is drawn again."""
    images = weight_BI.shape[1]
    total_I = np.bincount(image, weights=values, minlength=images)
    count_I = np.bincount(image, minlength=images)
    mean_B = (weight_BI @ total_I) / (weight_BI @ count_I)
    low, high = np.quantile(mean_B, [ALPHA / 2, 1 - ALPHA / 2])
    return [round(float(number), 4) for number in (np.mean(values), low, high)]


if __name__ == "__main__":
    main()
