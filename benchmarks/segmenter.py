"""Does affinity propagation pay? Ours against the same training without it, and against filled boxes.

    python benchmarks/segmenter.py --seeds 0 1 2

For every seed the segmenter is trained twice on the boxes of ``data/sample`` with the numbers of
``params.yaml``, once as it is and once with both propagation weights 0; both predict and are scored on val.
The third method keeps our detections and fills their boxes. Differences are paired over images, with a
percentile interval from a bootstrap. Takes about fourteen minutes a seed on two cores.
"""

import argparse
import json
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import describe
from evaluation.bootstrap import Interval, difference, draw_weights, interval
from evaluation.tables import Tables
from models.segmentation.config import PredictionConfig, SegmenterTrainingConfig
from tasks.config import load_section
from tasks.data.importing import import_coco
from tasks.data.predictions import read_predictions, write_predictions
from tasks.data.prepared import AboutDataset, read_about, read_records
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord
from tasks.data.rle import encode_mask
from tasks.stages import (
    configure_segmenter,
    evaluate_detection,
    predict_masks,
    prepare_coco,
    train_segmenter,
    validate_coco,
)

ROOT = Path(__file__).resolve().parents[1]
OURS, PLAIN, FILLED = "ours", "without affinity", "boxes filled"
METRICS = ("mask.matched_iou", "mask.ap", "mask.ap50", "mask.recall50", "box.ap50", "box.recall50")
ALPHA, RESAMPLES = 0.05, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A temporary folder with imported, validated and prepared data."""

    folder: Path
    about: AboutDataset
    val: list[ImageRecord]

    @property
    def inputs(self) -> dict[str, Path]:
        """What every stage reads."""
        return {"dataset": self.folder / "dataset", "about": self.folder / "prepared" / "dataset.json"}


def main() -> None:
    """Train, score, print the table, store the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="instead of the number in params.yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "segmenter.json")
    arguments = parser.parse_args()
    config = load_section(arguments.params, "segmenter", SegmenterTrainingConfig)
    config = replace(config, steps=arguments.steps or config.steps)
    thresholds = load_section(arguments.params, "predict", PredictionConfig)
    with tempfile.TemporaryDirectory() as folder:
        space = prepare(Path(folder))
        runs: list[dict[str, Any]] = []
        for seed in arguments.seeds:
            runs.append(run_seed(replace(config, seed=seed), thresholds, space))
            averages = means(runs)
            document = {
                "machine": describe(),
                "dataset_sha256": space.about.dataset_sha256,
                "images": len(space.val),
                "steps": config.steps,
                "alpha": ALPHA,
                "resamples": RESAMPLES,
                "means": averages,
                "seeds": runs,
            }
            arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            print(table(averages))


def prepare(folder: Path) -> Workspace:
    """Import, validate and prepare the sample."""
    dataset, report, out = folder / "dataset", folder / "report.json", folder / "prepared"
    import_coco(ROOT / "data" / "sample", dataset)
    contract = ROOT / "configs" / "expectations" / "coco_instances.yaml"
    validate_coco.run(dataset=dataset, contract=contract, out=report)
    prepare_coco.run(dataset=dataset, validation=report, out=out)
    return Workspace(
        folder=folder, about=read_about(out / "dataset.json"), val=read_records(out / "val.jsonl")
    )


def run_seed(
    config: SegmenterTrainingConfig, thresholds: PredictionConfig, space: Workspace
) -> dict[str, Any]:
    """Train and score the three methods of one seed."""
    tables, training = {}, {}
    for name, part in ((OURS, config), (PLAIN, replace(config, global_weight=0.0, local_weight=0.0))):
        place = space.folder / f"{config.seed} {name}"
        training[name] = train(part, place, space)
        predictions = place / "val.jsonl"
        val = space.folder / "prepared" / "val.jsonl"
        configure_segmenter.run(thresholds, model=place / "trained", out=place / "model")
        predict_masks.run(**space.inputs, model=place / "model", records=val, out=predictions)
        tables[name] = evaluate(predictions, place / "evaluation", space)
    filled = space.folder / f"{config.seed} {FILLED}"
    fill_boxes(space.folder / f"{config.seed} {OURS}" / "val.jsonl", filled / "val.jsonl", space)
    tables[FILLED] = evaluate(filled / "val.jsonl", filled / "evaluation", space)
    weight_BI = draw_weights(len(space.val), resamples=RESAMPLES, seed=config.seed)
    return {
        "seed": config.seed,
        "training": training,
        "values": {
            name: {metric: _triple(interval(part, metric, weight_BI, alpha=ALPHA)) for metric in METRICS}
            for name, part in tables.items()
        },
        "ours_minus": {
            name: {
                metric: _triple(difference(tables[OURS], tables[name], metric, weight_BI, alpha=ALPHA))
                for metric in METRICS
            }
            for name in (PLAIN, FILLED)
        },
    }


def train(config: SegmenterTrainingConfig, place: Path, space: Workspace) -> dict[str, float]:
    """Train into ``place/trained`` and return what it cost."""
    wall, processor = time.monotonic(), time.process_time()
    train_segmenter.run(
        config,
        **space.inputs,
        prepared=space.folder / "prepared" / "train.jsonl",
        checkpoints=place / "checkpoints",
        out=place / "trained",
    )
    return {
        "wall_seconds": round(time.monotonic() - wall, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def fill_boxes(source: Path, target: Path, space: Workspace) -> None:
    """Copy predictions with each mask replaced by its box."""
    header, predictions = read_predictions(
        source,
        space.val,
        dataset_sha256=space.about.dataset_sha256,
        split="val",
        categories=space.about.categories,
    )
    write_predictions(target, header, [_filled(prediction) for prediction in predictions])


def _filled(prediction: ImagePrediction) -> ImagePrediction:
    return replace(
        prediction, detections=tuple(_box_as_mask(prediction, item) for item in prediction.detections)
    )


def _box_as_mask(prediction: ImagePrediction, item: DetectionRecord) -> DetectionRecord:
    left, top, right, bottom = (round(edge) for edge in item.box_xyxy)
    mask = np.zeros((prediction.height, prediction.width), np.bool_)
    mask[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    return replace(item, mask=encode_mask(mask))


def evaluate(predictions: Path, out: Path, space: Workspace) -> Tables:
    """Score a predictions file."""
    about, val = space.inputs["about"], space.folder / "prepared" / "val.jsonl"
    evaluate_detection.run(records=val, about=about, predictions=predictions, out=out)
    per_image, matches = (pd.read_parquet(out / f"{name}.parquet") for name in ("per_image", "matches"))
    return Tables(per_image=per_image, matches=matches)


def means(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Average every value over the seeds."""
    return {
        name: {metric: round(fmean(run["values"][name][metric][0] for run in runs), 4) for metric in METRICS}
        for name in (OURS, PLAIN, FILLED)
    }


def table(values: dict[str, dict[str, float]]) -> str:
    """Draw the means as text."""
    head = "".join(f"{metric:>18}" for metric in METRICS)
    rows = [
        f"{name:<18}" + "".join(f"{row[metric]:>18.4f}" for metric in METRICS) for name, row in values.items()
    ]
    return "\n".join([" " * 18 + head, *rows])


def _triple(value: Interval) -> list[float]:
    """Return value, low and high of an interval."""
    return [round(value.value, 4), round(value.low, 4), round(value.high, 4)]


if __name__ == "__main__":
    main()
