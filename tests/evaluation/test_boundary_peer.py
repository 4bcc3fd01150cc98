"""Boundaries of masks of COCO images, as another implementation draws them."""

import numpy as np
from faster_coco_eval.core.mask import rleToBoundary
from pycocotools import mask as rle_c

from evaluation.boundary import boundaries, boundary_iou
from tests.evaluation.scenes import coco100


def peer(masks):
    return [rleToBoundary({"size": mask["size"], "counts": mask["counts"].encode()}) for mask in masks]


def test_equals_faster_coco_eval():
    _, _, truths, detections, _ = coco100("mask")
    compared = 0
    for truth, found in list(zip(truths, detections, strict=True))[:20]:
        theirs = [peer(masks) for masks in (truth.masks, found.masks)]
        for masks, others in zip((truth.masks, found.masks), theirs, strict=True):
            ours = boundaries(masks)
            assert [mask["counts"] for mask in ours] == [mask["counts"].decode() for mask in others]
            compared += len(ours)
        if not len(truth.masks) or not len(found.masks):
            continue
        expected = rle_c.iou(theirs[1], theirs[0], truth.is_crowd.astype(np.uint8).tolist())
        np.testing.assert_array_equal(boundary_iou(found.masks, truth.masks, truth.is_crowd), expected)
    assert compared > 200
