"""Make every file that a report reads, from a COCO data set and masks that were spoilt on purpose."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from evaluation.evidence import Evidence
from evaluation.gate import Decision, decide
from evaluation.policy import Ceiling, Floor, NonInferior, Policy, Primary
from evaluation.tables import Tables
from tasks.data.commit import hash_file, verify_directory
from tasks.data.predictions import PredictionsHeader, write_predictions
from tasks.data.prepared import AboutDataset, SplitCounts, dump_records
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord, MaskRle, RegionRecord
from tasks.data.rle import decode_mask, encode_mask, mask_box
from tasks.report.sources import ReportInputs
from tasks.stages import evaluate_detection

DATASET_SHA = "da" * 32


def make_candidate(
    folder: Path,
    dataset: Path,
    *,
    seed: int = 0,
    care: float = 0.8,
    champion: Path | None = None,
    is_blind: bool = False,
    rename: Callable[[str], str] = lambda name: name,
) -> ReportInputs:
    """Write predictions, evaluation, history and a decision; ``care`` in [0, 1] is how good the masks are."""
    folder.mkdir(parents=True, exist_ok=True)
    categories, records = read_coco_val(dataset, rename)
    about = AboutDataset(
        dataset_sha256=DATASET_SHA,
        categories=categories,
        splits={"val": SplitCounts(images=len(records), regions=sum(len(r.regions) for r in records))},
    )
    (folder / "dataset.json").write_text(json.dumps(about.to_json()))
    (folder / "val.jsonl").write_bytes(dump_records(records))
    model = hashlib.sha256(f"{seed} {care}".encode()).hexdigest()
    generator = np.random.default_rng(seed)
    found = [_predict(record, generator, care) for record in records]
    if is_blind:
        found = [dataclasses.replace(prediction, detections=()) for prediction in found]
    header = PredictionsHeader(
        dataset_sha256=DATASET_SHA, split="val", model_sha256=model, images=len(records)
    )
    write_predictions(folder / "predictions.jsonl", header, found)
    evaluate_detection.run(
        records=folder / "val.jsonl",
        about=folder / "dataset.json",
        predictions=folder / "predictions.jsonl",
        out=folder / "evaluation",
    )
    _write_history(folder / "history.jsonl", generator)
    decision = _decide(folder / "evaluation", champion)
    (folder / "decision.json").write_text(json.dumps(decision.to_json()))
    return ReportInputs(
        model="segmenter",
        version="version 2" if champion else "version 1",
        decision=folder / "decision.json",
        evaluation=folder / "evaluation",
        champion_evaluation=champion,
        predictions=folder / "predictions.jsonl",
        records=folder / "val.jsonl",
        about=folder / "dataset.json",
        dataset=dataset,
        history=folder / "history.jsonl",
        lineage={
            "dataset": {"sha256": DATASET_SHA, "split": "val"},
            "code": {"commit": "0f3c" * 10, "uncommitted_changes": True},
            "config": {"segmenter": {"steps": 600, "learning_rate": 0.01, "affinity": {"window": 5}}},
            "lock": {"sha256": "10c7" * 16},
            "training": {"seed": seed, "steps": 600, "threads": 2, "torch": "2.15.0"},
            "machine": {"python": "3.11.9", "system": "Linux", "cpu": "x86_64"},
        },
        seed=7,
    )


def read_coco_val(dataset: Path, rename: Callable[[str], str]) -> tuple[tuple[str, ...], list[ImageRecord]]:
    """Read the val split of a COCO data set as prepared records."""
    document = json.loads((dataset / "annotations" / "instances_val.json").read_text())
    names = {entry["id"]: rename(entry["name"]) for entry in document["categories"]}
    regions: dict[int, list[RegionRecord]] = {}
    for entry in document["annotations"]:
        mask = MaskRle.from_json(entry["segmentation"])
        box = mask_box(mask)
        assert box is not None
        region = RegionRecord(
            region_id=entry["id"],
            category=names[entry["category_id"]],
            box_xyxy=box,
            mask=mask,
            is_crowd=bool(entry["iscrowd"]),
        )
        regions.setdefault(entry["image_id"], []).append(region)
    records = [
        ImageRecord(
            image_id=entry["id"],
            file=f"val/{entry['file_name']}",
            height=entry["height"],
            width=entry["width"],
            sha256=hash_file(dataset / "val" / entry["file_name"]),
            regions=tuple(regions.get(entry["id"], ())),
        )
        for entry in document["images"]
    ]
    return tuple(names.values()), sorted(records, key=lambda record: record.image_id)


def _predict(record: ImageRecord, generator: np.random.Generator, care: float) -> ImagePrediction:
    """Shift, shrink, drop and invent."""
    detections = []
    care = float(np.clip(care + generator.normal(0, 0.12), 0.05, 1.0))
    for region in record.regions:
        if generator.random() > 0.55 + 0.45 * care:
            continue
        mask = decode_mask(region.mask)
        reach = max(1, round((1.05 - care) * 0.5 * np.sqrt(mask.sum())))
        mask = np.roll(mask, generator.integers(-reach, reach + 1, size=2), axis=(0, 1))
        times = int(generator.integers(0, reach + 1))
        if times and generator.random() < 0.5:
            mask = ndimage.binary_dilation(mask, iterations=times)
        elif times:
            mask = ndimage.binary_erosion(mask, iterations=times)
        detections.append(_detection(mask, region.category, generator.beta(6 * care + 1, 2)))
    categories = sorted({region.category for region in record.regions}) or ["circle"]
    for _ in range(generator.poisson((1.0 - care) * (1 + len(record.regions) / 3))):
        y, x = generator.integers(0, record.height), generator.integers(0, record.width)
        rows, columns = np.mgrid[: record.height, : record.width]
        radius = generator.uniform(0.02, 0.06) * record.width
        mask = (rows - y) ** 2 + (columns - x) ** 2 <= max(radius, 2) ** 2
        detections.append(_detection(mask, str(generator.choice(categories)), generator.beta(2, 4)))
    kept = sorted((item for item in detections if item), key=lambda item: -item.score)
    return ImagePrediction(
        image_id=record.image_id, height=record.height, width=record.width, detections=tuple(kept)
    )


def _detection(mask: Any, category: str, score: float) -> DetectionRecord | None:
    rle = encode_mask(np.asarray(mask, dtype=np.bool_))
    box = mask_box(rle)
    if box is None:
        return None
    return DetectionRecord(category=category, score=float(score), box_xyxy=box, mask=rle)


def _write_history(path: Path, generator: np.random.Generator, steps: int = 600) -> None:
    lines = []
    for step in range(1, steps + 1):
        noise = generator.lognormal(0, 0.12, size=4)
        fall = np.exp(-step / 150)
        parts = {
            "loss_classification": (0.18 + 1.0 * fall) * noise[0],
            "loss_box": (0.22 + 0.7 * fall) * noise[1],
            "loss_projection": (0.12 + 0.8 * fall) * noise[2],
            "loss_affinity": (0.05 + 0.2 * np.exp(-step / 300)) * noise[3],
        }
        rate = 0.01 * min(1.0, step / 50) * (0.1 if step > 450 else 1.0)
        row = {
            "step": step,
            "loss": sum(parts.values()),
            **parts,
            "learning_rate": rate,
            "seconds": 0.4 * step,
        }
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")


def _decide(evaluation: Path, champion: Path | None) -> Decision:
    policy = Policy(
        split="val",
        floors=(
            Floor(metric="mask.ap50", at_least=0.4),
            Floor(metric="mask.matched_iou", at_least=0.6),
            Floor(metric="mask.recall50", at_least=0.5),
        ),
        ceilings=(Ceiling(metric="detections_per_image", at_most=150.0),),
        primary=Primary(metric="mask.matched_iou", min_gain=0.0),
        non_inferior=(NonInferior(metric="mask.ap50", max_drop=0.02),),
        alpha=0.05,
        resamples=200,
        seed=0,
    )
    before = None if champion is None else _evidence(champion, sequence=3)
    return decide(_evidence(evaluation, sequence=None), before, policy, first=True)


def read_tables(evaluation: Path) -> Tables:
    """Read both tables of an evaluation."""
    return Tables(
        per_image=pd.read_parquet(evaluation / "per_image.parquet"),
        matches=pd.read_parquet(evaluation / "matches.parquet"),
    )


def _evidence(evaluation: Path, *, sequence: int | None) -> Evidence:
    tables = read_tables(evaluation)
    return Evidence.from_document(
        json.loads((evaluation / "metrics.json").read_text()),
        per_image=tables.per_image,
        matches=tables.matches,
        bundle_id=verify_directory(evaluation).sha256[:16],
        sequence=sequence,
    )
