"""All numbers that COCO prints, by this project's scorer, by pycocotools, and as they were published.

COCO gives average precision and recall of at most 100 detections an image and category. No image here has
more, so that metrics which count all detections are the same numbers.
"""

import contextlib
import copy
import dataclasses
import io
import re
import warnings

import numpy as np
import pytest
from pycocotools import mask as rle_c
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import binary_dilation

from evaluation.definition import AREAS, CAPS
from evaluation.detection import evaluate
from evaluation.masks import areas
from evaluation.scorer import score
from tests.evaluation.scenes import VECTORS, coco100, detections_of, read, rle, truths_of

KIND_NAMES = [("box", "bbox"), ("mask", "segm")]
NAMED = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar_1", "ar_10", "ar_100"]
"""The first nine of the twelve numbers, in COCO's order; the last three are ``ar_100`` by size."""
COCO100, PAIR = VECTORS / "cocoapi_val2014_100", VECTORS / "faster_coco_eval"


def printed():
    """Kind of overlap -> the twelve numbers that the authors of COCO printed, with three digits."""
    text = (COCO100 / "val2014_fake_eval_res.txt").read_text()
    parts = re.split(r"type=(\w+)\n", text)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    return {kind: [float(x) for x in re.findall(r"\] = (-?\d\.\d+)", found[kind])] for _, kind in KIND_NAMES}


def of_pycocotools(document, results, name):
    """The twelve numbers of the original code, on the files as they are."""
    key = {"bbox": "bbox", "segm": "segmentation"}[name]
    found = [{part: item[part] for part in ("image_id", "category_id", "score", key)} for item in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(document) | {"info": {}}  # pycocotools writes into what it is given
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), name)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def of_this_project(truths, detections, names, kind):
    """The same twelve; -1 where this project has a reason and no number."""
    result = evaluate(truths, detections, categories=names)
    values = {metric.name: metric.value for metric in result.metrics}
    twelve = [values.get(f"{kind}.{name}", -1.0) for name in NAMED]
    scores = score(truths, detections, categories=names, kind=kind)
    for size in ("small", "medium", "large"):
        a = list(AREAS).index(size)
        has_K = scores.has_regions[:, a]
        recall = scores.recall[:, has_K, a, CAPS.index(100)]
        twelve.append(float(recall.mean()) if has_K.any() else -1.0)
    return twelve


def with_annotated_sizes(truths, document):
    """Make a mask as large as its annotated area says, where the two are in different ranges of area.

    COCO takes the area from the file, made of polygons; here it is that of the mask.
    """
    annotated, changed, out = {item["id"]: item["area"] for item in document["annotations"]}, [], []
    for truth in truths:
        masks = list(truth.masks)
        for g, number in enumerate(truth.region_ids.tolist()):
            if ranges(areas(masks[g : g + 1])[0]) != ranges(annotated[number]):
                masks[g] = resized(masks[g], int(annotated[number]))
                assert ranges(areas(masks[g : g + 1])[0]) == ranges(annotated[number])
                changed.append(number)
        out.append(dataclasses.replace(truth, masks=tuple(masks)))
    return out, changed


def ranges(area):
    return [low <= area <= high for low, high in AREAS.values()]


def resized(mask, count):
    """Add pixels along the border of a mask, or take its last ones away, until it has ``count``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools and NumPy 2
        inside = rle_c.decode(mask).astype(bool)
    border = np.flatnonzero(binary_dilation(inside) & ~inside)
    missing = count - int(inside.sum())
    if missing > 0:
        inside.flat[border[:missing]] = True
    else:
        inside.flat[np.flatnonzero(inside)[count:]] = False
    small = rle_c.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {"size": list(small["size"]), "counts": small["counts"].decode()}


@pytest.mark.parametrize(("kind", "name"), KIND_NAMES)
def test_all_24_numbers_of_coco(kind, name):
    document, results, truths, detections, names = coco100(kind)
    assert max(len(item.scores) for item in detections) <= 100
    theirs = of_pycocotools(document, results, name)
    assert np.round(theirs, 3).tolist() == printed()[name]
    assert theirs.tolist() == pytest.approx(read(COCO100 / "pycocotools_stats.json")[name], abs=1e-12)
    truths, changed = with_annotated_sizes(truths, document)
    assert changed == [1720813, 1602301, 1044982]  # by 3, 15 and 8 pixels
    ours = of_this_project(truths, detections, names, kind)
    assert ours == pytest.approx(theirs.tolist(), abs=1e-12)
    assert np.round(ours, 3).tolist() == printed()[name]


@pytest.mark.parametrize(("kind", "name"), KIND_NAMES)
def test_the_pair_of_faster_coco_eval(kind, name):
    document, results = read(PAIR / "gt_dataset.json"), read(PAIR / "dt_dataset.json")
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    results = [
        item
        | {
            "score": item.get("score", 0.5),
            "segmentation": rle(item["segmentation"], *sizes[item["image_id"]]),
        }
        for item in results
    ]
    theirs = of_pycocotools(document, results, name)
    published = read(PAIR / "pycocotools_stats.json")[f"gt_dataset/dt_dataset:{name}"]
    assert theirs.tolist() == pytest.approx(published, abs=1e-6)
    truths, names = truths_of(document)
    detections = detections_of(document, results)
    truths, _ = with_annotated_sizes(truths, document)
    ours = of_this_project(truths, detections, names, kind)
    assert ours == pytest.approx(theirs.tolist(), abs=1e-12)
