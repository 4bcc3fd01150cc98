"""Simulated answers to referring expressions: what is hard is shared by all models of a world."""

import numpy as np
import pandas as pd

from evaluation.bootstrap import recompute
from evaluation.definition import IOU_PERCENT
from evaluation.evidence import Evidence
from evaluation.expressions import Expressions
from evaluation.ref_boxes import REF_BOXES


def simulate_boxes(seed, *, images=150, found=0.7, world=0):
    """Answers to one to five expressions an image; ``found`` is the chance of an IoU of at least 0.5."""
    shared, own = np.random.default_rng([world, 1]), np.random.default_rng([world, 2, seed])
    image_N = np.repeat(np.arange(images), shared.integers(1, 6, size=images))
    hard_N = shared.normal(0, 0.1, size=images)[image_N] + shared.normal(0, 0.1, size=len(image_N))
    is_hit_N = own.random(len(image_N)) < np.clip(found - hard_N, 0.02, 0.98)
    iou_N = np.where(is_hit_N, own.uniform(0.5, 1.0, size=len(image_N)), own.uniform(0, 0.49, len(image_N)))
    columns = {
        "expression_id": np.arange(1, len(image_N) + 1),
        "image_id": image_N + 1,
        "split": "val",
        "outcome": "answered",
        "num_boxes": 1,
        "iou": iou_N,
        "best_iou": iou_N,
    }
    right = {f"right_{percent}": iou_N >= percent / 100 for percent in IOU_PERCENT}
    return boxes_of(pd.DataFrame(columns | right))


def boxes_of(table):
    return Expressions(definition=REF_BOXES, per_expression=table)


def evidence_of_boxes(tables, **changes):
    """Evidence whose numbers are those of the table."""
    images = len(tables.image_ids)
    names = [spec.name for spec in REF_BOXES.metrics]
    values = {
        "definition_sha256": REF_BOXES.sha256,
        "images_expected": images,
        "images_scored": images,
        "metrics": {name: float(recompute(tables, name, np.ones((1, images)))[0]) for name in names},
        "undefined": {},
        "tables": tables,
    }
    plain = {"bundle_id": "c" * 16, "model_sha256": "m" * 64, "dataset_sha256": "d" * 64, "split": "val"}
    return Evidence(**(plain | values | changes))
