import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from evaluation.definition import DETECTION
from evaluation.evidence import Evidence, object_to
from tasks.data.commit import hash_file, read_manifest, verify_directory
from tasks.data.predictions import PredictionsHeader, write_predictions
from tasks.data.prepared import AboutDataset, SplitCounts, dump_records
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord, MaskRle, RegionRecord
from tasks.data.rle import encode_mask
from tasks.errors import DataError, IntegrityError
from tasks.stages.evaluate_detection import run

DATASET, MODEL = "d" * 64, "a" * 64
SIZE = 32


def disc(left, top, side):
    """A box with cut corners: its mask is not its box."""
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[top : top + side, left : left + side] = True
    mask[top, left] = mask[top, left + side - 1] = False
    return encode_mask(mask), (float(left), float(top), float(left + side), float(top + side))


def split():
    """Three images with one nucleus more each, and the predictions that find the first nucleus of each."""
    records, predictions = [], []
    for image_id in (3, 1, 2):
        shapes = [disc(1 + 10 * column, image_id, 8) for column in range(image_id)]
        regions = tuple(
            RegionRecord(region_id=10 * image_id + number, category="nucleus", box_xyxy=box, mask=mask)
            for number, (mask, box) in enumerate(shapes)
        )
        records.append(
            ImageRecord(
                image_id=image_id,
                file=f"val/{image_id}.jpg",
                height=SIZE,
                width=SIZE,
                sha256="e" * 64,
                regions=regions,
            )
        )
        mask, box = shapes[0]
        found = DetectionRecord(category="nucleus", score=0.9, box_xyxy=box, mask=mask)
        predictions.append(ImagePrediction(image_id=image_id, height=SIZE, width=SIZE, detections=(found,)))
    return records, predictions


@pytest.fixture
def place(tmp_path):
    """Write a prepared split and predictions; returns the arguments of the stage."""
    records, predictions = split()
    (tmp_path / "val.jsonl").write_bytes(dump_records(records))
    about = AboutDataset(
        dataset_sha256=DATASET,
        categories=("nucleus",),
        splits={"val": SplitCounts(images=3, regions=6)},
    )
    (tmp_path / "dataset.json").write_text(json.dumps(about.to_json()))
    write(tmp_path / "predictions.jsonl", predictions)
    return {
        "records": tmp_path / "val.jsonl",
        "about": tmp_path / "dataset.json",
        "predictions": tmp_path / "predictions.jsonl",
        "out": tmp_path / "evaluation",
    }


def write(path, predictions, **changes):
    values = {"dataset_sha256": DATASET, "split": "val", "model_sha256": MODEL, "images": len(predictions)}
    write_predictions(path, PredictionsHeader(**(values | changes)), predictions)


def metrics(place):
    return json.loads((place["out"] / "metrics.json").read_text())


def values(place):
    return {metric["name"]: metric["value"] for metric in metrics(place)["metrics"]}


def test_the_numbers_of_three_images_by_hand(place):
    run(**place)
    assert values(place)["mask.recall50"] == values(place)["box.recall50"] == 0.5
    assert values(place)["mask.ap50"] == pytest.approx(51 / 101)
    assert values(place)["mask.matched_iou"] == values(place)["mask.precision50"] == 1.0
    assert values(place)["detections_per_image"] == 1.0


def test_the_documents_say_what_was_judged(place):
    run(**place)
    document = metrics(place)
    assert document["schema"] == "groundwork.metrics/1"
    assert document["dataset"] == {"sha256": DATASET, "split": "val", "images": 3}
    assert document["coverage"] == {"images_expected": 3, "images_scored": 3}
    assert document["model_sha256"] == MODEL
    assert document["predictions_sha256"] == hash_file(place["predictions"])
    assert (document["definition"], document["definition_sha256"]) == (DETECTION.to_json(), DETECTION.sha256)
    assert document["outcome"] == "scored"
    assert {item["name"] for item in document["metrics"]} | document["undefined"].keys() == {
        spec.name for spec in DETECTION.metrics
    }
    manifest = verify_directory(place["out"], schema="groundwork.evaluation/1")
    assert manifest.files.keys() == {"metrics.json", "curves.json", "per_image.parquet", "matches.parquet"}
    assert manifest.provenance == {
        "dataset_sha256": DATASET,
        "split": "val",
        "model_sha256": MODEL,
        "predictions_sha256": document["predictions_sha256"],
        "definition_sha256": DETECTION.sha256,
    }
    assert json.loads((place["out"] / "curves.json").read_text())["schema"] == "groundwork.curves/1"


def test_the_gate_accepts_what_the_stage_wrote(place):
    run(**place)
    evidence = Evidence.from_document(
        metrics(place),
        per_image=pd.read_parquet(place["out"] / "per_image.parquet"),
        matches=pd.read_parquet(place["out"] / "matches.parquet"),
        bundle_id="b" * 16,
    )
    needed = ("mask.ap50", "mask.recall50", "mask.matched_iou", "detections_per_image")
    assert object_to(evidence, who="candidate", split="val", needed=needed) == []


def test_the_same_inputs_give_the_same_bytes(place):
    run(**place)
    first = read_manifest(place["out"])
    run(**(place | {"out": place["out"].with_name("again")}))
    assert read_manifest(place["out"].with_name("again")).sha256 == first.sha256


def test_empty_predictions_score_0_and_say_so(place):
    _, predictions = split()
    write(place["predictions"], [dataclasses.replace(item, detections=()) for item in predictions])
    run(**place)
    assert metrics(place)["outcome"] == "no detections"
    assert set(values(place).values()) == {0.0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"box_xyxy":[1.0,', '"box_xyxy":[NaN,', "NaN"),
        ('"score":0.9', '"score":NaN', "NaN"),
        ('"score":0.9', '"score":1e999', "1e999"),
        ('"score":0.9', '"score":1.5', "score must be finite and in [0, 1], got 1.5."),
        ('"box_xyxy":[1.0,', '"box_xyxy":[9.5,', "box_xyxy must be finite with left < right"),
    ],
)
def test_impossible_predictions_are_never_scored(place, old, new, message):
    """30 boxes of NaN have recall 1.0 in pycocotools; here no number comes into being."""
    text = place["predictions"].read_text()
    assert old in text
    place["predictions"].write_text(text.replace(old, new))
    with pytest.raises(DataError) as caught:
        run(**place)
    assert message in str(caught.value)
    assert "line 2" in caught.value.obj
    assert not place["out"].exists()


def test_predictions_of_half_the_images_are_never_scored(place):
    write(place["predictions"], split()[1][:2])
    with pytest.raises(DataError, match="1 of 3 images have no line"):
        run(**place)
    assert not place["out"].exists()


def test_predictions_about_other_data_are_refused(place):
    write(place["predictions"], split()[1], dataset_sha256="0" * 64)
    with pytest.raises(IntegrityError, match="dataset_sha256"):
        run(**place)
    write(place["predictions"], split()[1], split="train")
    with pytest.raises(IntegrityError, match="split"):
        run(**place)


def test_truth_that_is_not_all_there_is_refused(place):
    records, _ = split()
    place["records"].write_bytes(dump_records(records[:2]))
    with pytest.raises(DataError) as caught:
        run(**place)
    assert caught.value.message == (
        "holds 2 images and 4 regions; dataset.json says SplitCounts(images=3, regions=6) of 'val'."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": None}, "region 30 has no mask to compare with."),
        ({"category": "cell"}, "category 'cell' is not one of ['nucleus']."),
        ({"mask": MaskRle(height=SIZE, width=SIZE, counts="0")}, "counts fill 0 pixels"),
        ({"mask": MaskRle(height=SIZE, width=SIZE, counts="P")}, "counts end in the middle of a number."),
    ],
)
def test_truth_that_cannot_be_compared_is_refused_with_its_image(place, changes, message):
    records, _ = split()
    first, *others = records[0].regions
    records[0] = dataclasses.replace(records[0], regions=(dataclasses.replace(first, **changes), *others))
    place["records"].write_bytes(dump_records(records))
    with pytest.raises(DataError) as caught:
        run(**place)
    assert caught.value.message.startswith(message)
    assert caught.value.obj == f"{place['records']} image 3"
    assert not place["out"].exists()


def test_command_line(place):
    flags = [part for name, path in place.items() for part in (f"--{name}", str(path))]
    command = [sys.executable, "-m", "tasks.stages.evaluate_detection"]
    done = subprocess.run([*command, *flags], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    place["predictions"].write_text("")
    done = subprocess.run([*command, *flags], check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("error[data-invalid] ")
    assert "Traceback" not in done.stderr
