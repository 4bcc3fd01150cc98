"""Does affinity propagation pay? Ours against the same training without it, and against filled boxes.

    python benchmarks/segmenter.py --seeds 0 1 2 --out benchmarks/results/segmenter.json

For every seed the segmenter is trained twice on the boxes of ``data/sample`` with the numbers of
``params.yaml``, once as it is and once with both propagation weights 0; both predict and are scored on val.
The third method keeps our detections and fills their boxes. Differences are paired over images, with a
percentile interval from a bootstrap. Takes about fourteen minutes a seed on two cores.
"""

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
import torch

from evaluation.bootstrap import difference, draw_weights, interval
from evaluation.tables import Tables
from models.blocks.precision import has_fast_bfloat16
from models.segmentation.config import PredictionConfig, SegmenterTrainingConfig
from tasks.config import load_section
from tasks.data.importing import import_coco
from tasks.data.predictions import read_header, read_predictions, write_predictions
from tasks.data.prepared import read_about, read_records
from tasks.data.records import DetectionRecord, ImagePrediction
from tasks.data.rle import encode_mask
from tasks.stages import evaluate_detection, predict_masks, prepare_coco, train_segmenter, validate_coco

ROOT = Path(__file__).resolve().parents[1]
METRICS = ("mask.matched_iou", "mask.ap", "mask.ap50", "mask.recall50", "box.ap50", "box.recall50")
BASELINES = ("without affinity", "boxes filled")
ALPHA, RESAMPLES = 0.05, 2000


def main() -> None:
    """Train, score, print the table, store the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="instead of the number in params.yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "segmenter.json")
    arguments = parser.parse_args()
    config = load_section(arguments.params, "segmenter", SegmenterTrainingConfig)
    config = replace(config, steps=arguments.steps or config.steps)
    thresholds = load_section(arguments.params, "predict", PredictionConfig)
    with tempfile.TemporaryDirectory() as folder:
        inputs = prepare(Path(folder))
        runs = [run_seed(replace(config, seed=seed), thresholds, inputs) for seed in arguments.seeds]
    document = {
        "machine": machine(),
        "dataset_sha256": read_about(inputs.about).dataset_sha256 if inputs.about.exists() else inputs.sha256,
        "steps": config.steps,
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "means": summarise(runs),
        "seeds": runs,
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(table(document["means"]))
