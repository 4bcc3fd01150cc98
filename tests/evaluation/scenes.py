"""Inputs of the scorers: published vectors, the nuclei sample with invented predictions, and simulations."""

import contextlib
import gzip
import io
import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools import mask as rle_c
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.bootstrap import recompute, supports
from evaluation.definition import DETECTION, IOU_PERCENT, KINDS
from evaluation.evidence import Evidence
from evaluation.instances import ImageDetections, ImageTruth
from evaluation.matching import THRESHOLDS_T
from evaluation.tables import Tables

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "data" / "eval"
SAMPLE = ROOT / "data" / "sample" / "annotations" / "instances_val.json"


def read(path):
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


def rle(shape, height, width):
    """Return any COCO segmentation, or a box ``[x, y, w, h]``, as compressed run lengths with text."""
    if isinstance(shape, dict) and isinstance(shape["counts"], str):
        return shape
    if isinstance(shape, dict):
        shape = rle_c.frPyObjects(shape, height, width)
    elif not isinstance(shape[0], (list, tuple)):
        x, y, w, h = shape
        shape = rle_c.frPyObjects([[x, y, x, y + h, x + w, y + h, x + w, y]], height, width)[0]
    else:
        shape = rle_c.merge(rle_c.frPyObjects(shape, height, width))
    return {"size": [height, width], "counts": shape["counts"].decode()}


def truths_of(document):
    """COCO document -> truths by rising image id, category names."""
    ids = sorted(category["id"] for category in document["categories"])
    names = {category["id"]: category["name"] for category in document["categories"]}
    truths = []
    for image in sorted(document["images"], key=lambda image: image["id"]):
        items = [item for item in document["annotations"] if item["image_id"] == image["id"]]
        height, width = image["height"], image["width"]
        boxes = np.array([item["bbox"] for item in items], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        truths.append(
            ImageTruth(
                image_id=image["id"],
                height=height,
                width=width,
                region_ids=np.array([item["id"] for item in items], dtype=np.int64),
                categories=np.array([ids.index(item["category_id"]) for item in items], dtype=np.int64),
                boxes_xyxy=boxes,
                masks=tuple(rle(item["segmentation"], height, width) for item in items),
                is_crowd=np.array([bool(item["iscrowd"]) for item in items], dtype=bool),
            )
        )
    return truths, [names[number] for number in ids]


def detections_of(document, results):
    """COCO results with boxes, or masks, or both -> detections by rising image id."""
    ids = sorted(category["id"] for category in document["categories"])
    by_image = {}
    for item in results:
        by_image.setdefault(item["image_id"], []).append(item)
    detections = []
    for image in sorted(document["images"], key=lambda image: image["id"]):
        items, size = by_image.get(image["id"], []), (image["height"], image["width"])
        masks = tuple(rle(item.get("segmentation", item.get("bbox")), *size) for item in items)
        boxes = [
            item["bbox"] if "bbox" in item else rle_c.toBbox(mask)
            for item, mask in zip(items, masks, strict=True)
        ]
        boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        detections.append(
            ImageDetections(
                image_id=image["id"],
                height=size[0],
                width=size[1],
                categories=np.array([ids.index(item["category_id"]) for item in items], dtype=np.int64),
                boxes_xyxy=boxes,
                masks=masks,
                scores=np.array([item["score"] for item in items], dtype=np.float64),
            )
        )
    return detections


@cache
def coco100(kind):
    """100 COCO images, 80 categories, 9 crowds; fake boxes or fake masks."""
    folder = VECTORS / "cocoapi_val2014_100"
    document = read(folder / "instances_val2014_100.json.gz")
    name = {"box": "bbox", "mask": "segm"}[kind]
    results = read(folder / f"instances_val2014_fake{name}100_results.json.gz")
    truths, names = truths_of(document)
    return document, results, truths, detections_of(document, results), names


@cache
def nuclei(copies=1, reach=3, seed=0, images=None):
    """The val split of the sample; each nucleus is found ``copies`` times, shifted by up to ``reach`` px."""
    document, generator = read(SAMPLE), np.random.default_rng(seed)
    document["images"] = sorted(document["images"], key=lambda image: image["id"])[:images]
    ids = {image["id"] for image in document["images"]}
    document["annotations"] = [item for item in document["annotations"] if item["image_id"] in ids]
    results = []
    for item in document["annotations"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools and NumPy 2
            mask = rle_c.decode(item["segmentation"])
        for _ in range(copies):
            shift = generator.integers(-reach, reach + 1, size=2)
            moved = rle_c.encode(np.asfortranarray(np.roll(mask, shift, (0, 1))))
            results.append(
                {
                    "image_id": item["image_id"],
                    "category_id": 1,
                    "segmentation": {"size": moved["size"], "counts": moved["counts"].decode()},
                    "bbox": rle_c.toBbox(moved).tolist(),
                    "score": round(float(generator.random()), 2),
                }
            )
    truths, names = truths_of(document)
    return document, results, truths, detections_of(document, results), names


def pycocotools_arrays(document, results, kind, *, caps):
    """Precision, recall and scores of pycocotools; areas of regions are those of their masks."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    key = {"box": "bbox", "mask": "segmentation"}[kind]
    annotations = [
        item | {"area": float(rle_c.area(rle(item["segmentation"], *sizes[item["image_id"]])))}
        for item in document["annotations"]
    ]
    results = [
        item | {"segmentation": rle(item["segmentation"], *sizes[item["image_id"]])}
        if "segmentation" in item
        else item
        for item in results
    ]
    found = [{name: item[name] for name in ("image_id", "category_id", "score", key)} for item in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = document | {"annotations": annotations, "info": {}}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), {"box": "bbox", "mask": "segm"}[kind])
        evaluation.params.maxDets = list(caps)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"], evaluation.eval["scores"]


def simulate(seed, *, images=39, regions=50, found=0.75, iou=0.8, false=20, world=0):
    """Tables of a model that never ran: what it finds depends on the region (``world``) and on chance.

    Args:
        seed: Of the model.
        images: Number of images.
        regions: Mean number of regions of an image; images differ as nuclei do.
        found: Chance that a region has a detection.
        iou: Mean mask IoU of the detections that have a region.
        false: Mean number of detections without a region.
        world: Seed of what models share: regions and how hard each is.
    """
    shared, own = np.random.default_rng([world, 1]), np.random.default_rng([world, 2, seed])
    rows, parts, first = [], [], 1
    for image_id in range(1, images + 1):
        count = int(shared.geometric(1 / regions)) + 4
        hard = shared.normal(0, 0.08) + shared.normal(0, 0.1, size=count)
        hit = own.random(count) < np.clip(found - hard, 0.02, 0.98)
        wrong = own.poisson(false)
        overlap = np.clip(iou - hard / 2 + own.normal(0, 0.08, size=count), 0.0, 1.0)[hit]
        overlap = np.concatenate([overlap, own.uniform(0, 0.45, size=wrong)])
        score = np.concatenate([own.beta(4, 2, size=hit.sum()), own.beta(2, 4, size=wrong)])
        ids = np.concatenate([np.flatnonzero(hit) + first, np.zeros(wrong, dtype=int)])
        part = {
            "image_id": np.full(len(score), image_id),
            "detection": np.arange(len(score)),
            "score": score,
            "overlap": overlap,
            "region": ids,
        }
        parts.append(pd.DataFrame(part))
        right = int((overlap >= 0.5).sum())
        row = {"image_id": image_id, "num_regions": count, "num_detections": len(score)}
        for kind in KINDS:
            row |= {
                f"{kind}_tp50": right,
                f"{kind}_fp50": len(score) - right,
                f"{kind}_fn50": count - right,
                f"{kind}_f1_50": 2 * right / (count + len(score)),
                f"{kind}_iou_sum": float(overlap[overlap >= 0.5].sum()),
            }
        rows.append(row | {"num_regions.nucleus": count})
        first += count
    table = pd.concat(parts, ignore_index=True)
    columns = {name: table[name] for name in ("image_id", "detection")} | {"category": "nucleus"}
    columns["score"] = table["score"]
    alone = (table["overlap"] < 0.5).to_numpy()
    value = pd.arrays.FloatingArray(table["overlap"].to_numpy(), alone)
    columns["mask_iou_at_box_match"] = value
    for kind in KINDS:
        columns[f"{kind}_region_id"] = pd.arrays.IntegerArray(table["region"].to_numpy(np.int64), alone)
        columns[f"{kind}_iou"] = value
        for percent, threshold in zip(IOU_PERCENT, THRESHOLDS_T, strict=True):
            columns[f"{kind}_matched_{percent}"] = table["overlap"] >= threshold
            columns[f"{kind}_ignored_{percent}"] = False
    return Tables(per_image=pd.DataFrame(rows), matches=pd.DataFrame(columns))


def evidence_of(tables, *, bundle_id="c" * 16, sequence=None, only=None, **changes):
    """Evidence whose numbers are those of the tables; all of them, or ``only`` some."""
    once = np.ones((1, len(tables.per_image)))
    names = [spec.name for spec in DETECTION.metrics]
    given = [name for name in names if (supports(name) if only is None else name in only)]
    values = {
        "bundle_id": bundle_id,
        "model_sha256": "m" * 64,
        "dataset_sha256": "d" * 64,
        "split": "val",
        "definition_sha256": DETECTION.sha256,
        "images_expected": len(tables.per_image),
        "images_scored": len(tables.per_image),
        "metrics": {name: float(recompute(tables, name, once)[0]) for name in given},
        "undefined": {name: "not simulated" for name in names if name not in given},
        "tables": tables,
        "sequence": sequence,
    }
    return Evidence(**(values | changes))
