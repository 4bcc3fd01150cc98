"""A tiny project with data, records, predictions and an evaluation, made by the real stages; no model."""

import json
from pathlib import Path

import numpy as np

from tasks.data.coco import category_names, read_split, to_records
from tasks.data.commit import commit_directory
from tasks.data.importing import SPLITS, import_coco
from tasks.data.predictions import PredictionsHeader, write_predictions
from tasks.data.prepared import PREPARED_SCHEMA, AboutDataset, SplitCounts, dump_records
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord
from tasks.data.rle import decode_mask, encode_mask
from tasks.operations import layout
from tasks.stages import evaluate_detection
from tests.tiny.shapes import write_shapes_world

NAMES = {
    1: (90, "circle"),
    2: (7, 'a "quoted" <b>square</b>'),
    3: (44, "dreieck \N{GREEK SMALL LETTER DELTA}"),
}
"""Number in the shapes world -> id and name here: ids with gaps, names that want escaping."""
MODEL = "a" * 64


def write_source(folder: Path) -> Path:
    """Write the shapes world with other categories, a licence, and a crowd in the first val image."""
    write_shapes_world(folder, num_train=2, num_val=5)
    for split in SPLITS:
        path = folder / "annotations" / f"instances_{split}.json"
        document = json.loads(path.read_text())
        document["categories"] = [{"id": number, "name": name} for number, name in sorted(NAMES.values())]
        document["licenses"] = [{"id": 4, "name": "CC BY 2.0", "url": "https://example.org/by"}]
        for image in document["images"]:
            image |= {"license": 4, "flickr_url": "https://example.org/photo"}
        for row in document["annotations"]:
            row["category_id"] = NAMES[row["category_id"]][0]
        document["annotations"][0]["iscrowd"] = 1
        path.write_text(json.dumps(document))
    return folder


def write_evaluated(root: Path) -> Path:
    """Write everything that an export reads, where the stages would leave it."""
    manifest = import_coco(write_source(root / "source"), root / layout.DATASET)
    tables = {name: read_split(root / layout.DATASET, name) for name in SPLITS}
    sha256 = {name: entry[0] for name, entry in manifest.files.items()}
    records = {name: to_records(table, sha256, masks=True) for name, table in tables.items()}
    about = AboutDataset(
        dataset_sha256=manifest.sha256,
        categories=category_names(tables["val"]),
        splits={
            name: SplitCounts(images=len(items), regions=sum(len(item.regions) for item in items))
            for name, items in records.items()
        },
    )

    def write(folder: Path) -> None:
        for name, items in records.items():
            (folder / f"{name}.jsonl").write_bytes(dump_records(items))
        (folder / "dataset.json").write_text(json.dumps(about.to_json()))

    commit_directory((root / layout.ABOUT).parent, write, schema=PREPARED_SCHEMA)
    header = PredictionsHeader(
        dataset_sha256=manifest.sha256, split="val", model_sha256=MODEL, images=len(records["val"])
    )
    write_predictions(root / layout.PREDICTIONS, header, predict(records["val"], about.categories))
    evaluate_detection.run(
        records=root / layout.VAL_RECORDS,
        about=root / layout.ABOUT,
        predictions=root / layout.PREDICTIONS,
        out=root / layout.EVALUATION,
    )
    return root


def predict(records: list[ImageRecord], categories: tuple[str, ...]) -> list[ImagePrediction]:
    """Make predictions of the truth: moved, misnamed, lost, doubled; one empty mask, one empty image."""
    generator = np.random.default_rng(5)
    predictions = []
    for number, record in enumerate(records):
        found = []
        for region in record.regions if number != 3 else ():
            if generator.random() < 0.2:
                continue
            left, top, right, bottom = region.box_xyxy
            shift = generator.normal(0, 0.8, 4)
            box = (
                max(0.0, left + float(shift[0])),
                max(0.0, top + float(shift[1])),
                min(64.0, right + float(shift[2])),
                min(64.0, bottom + float(shift[3])),
            )
            mask = decode_mask(region.mask)
            mask = np.roll(mask, int(generator.integers(-2, 3)), axis=1)
            name = categories[int(generator.integers(3))] if generator.random() < 0.2 else region.category
            for _ in range(2 if generator.random() < 0.3 else 1):
                score = round(float(generator.random()), 3)
                found.append(
                    DetectionRecord(category=name, score=score, box_xyxy=box, mask=encode_mask(mask))
                )
        if number == 0:
            empty = encode_mask(np.zeros((record.height, record.width), dtype=bool))
            found.append(
                DetectionRecord(
                    category=categories[0], score=0.25, box_xyxy=(1.5, 2.0, 9.25, 8.0), mask=empty
                )
            )
        predictions.append(
            ImagePrediction(
                image_id=record.image_id, height=record.height, width=record.width, detections=tuple(found)
            )
        )
    return predictions
