"""The files as pycocotools reads them: ids, escaping, and the very numbers of the evaluation."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tasks.data.coco_results import counted_names, source_names, write_coco
from tasks.data.predictions import read_predictions
from tasks.data.prepared import read_about, read_records
from tasks.data.strict_json import read_json
from tasks.errors import IntegrityError
from tasks.operations import layout
from tests.tasks.data.evaluated_shapes import NAMES, write_evaluated


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_evaluated(tmp_path_factory.mktemp("evaluated"))


def parts(root):
    about, records = read_about(root / layout.ABOUT), read_records(root / layout.VAL_RECORDS)
    _, predictions = read_predictions(
        root / layout.PREDICTIONS,
        records,
        dataset_sha256=about.dataset_sha256,
        split="val",
        categories=about.categories,
    )
    return about, records, predictions


def write(root, folder, names=None):
    about, records, predictions = parts(root)
    folder.mkdir()
    names = names or source_names(root / layout.DATASET, about, "val")
    write_coco(folder, records, predictions, names, description="segmenter-val")
    return records, predictions


def scores(folder, results, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "ground_truth.json"))
        scorer = COCOeval(truth, truth.loadRes(str(folder / results)), kind)
        scorer.params.maxDets = [1, 10, 100, 1000]  # our average precision counts every detection
        scorer.evaluate()
        scorer.accumulate()
    precision, recall = scorer.eval["precision"], scorer.eval["recall"]

    def mean(values):
        return float(values[values > -1].mean())

    return {
        "ap": mean(precision[..., 0, -1]),
        "ap50": mean(precision[0, ..., 0, -1]),
        "ap75": mean(precision[5, ..., 0, -1]),
        "ap_small": mean(precision[..., 1, -1]),
        "ar_1": mean(recall[..., 0, 0]),
        "ar_100": mean(recall[..., 0, 2]),
    }


@pytest.mark.parametrize(
    ("results", "kind", "ours"),
    [("predictions.json", "bbox", "box"), ("predictions_masks.json", "segm", "mask")],
)
def test_pycocotools_gives_the_numbers_of_the_evaluation(root, tmp_path, results, kind, ours):
    write(root, tmp_path / "out")
    metrics = read_json(root / layout.EVALUATION / "metrics.json")["metrics"]
    expected = {item["name"]: item["value"] for item in metrics}
    for name, value in scores(tmp_path / "out", results, kind).items():
        assert value == pytest.approx(expected[f"{ours}.{name}"], abs=1e-12), name


def test_ids_and_names_are_those_of_the_source(root, tmp_path):
    records, predictions = write(root, tmp_path / "out")
    truth = json.loads((tmp_path / "out" / "ground_truth.json").read_text())
    assert {row["id"]: row["name"] for row in truth["categories"]} == dict(NAMES.values())
    assert truth["info"] == {"description": "segmenter-val"}
    assert truth["licenses"] == [{"id": 4, "name": "CC BY 2.0", "url": "https://example.org/by"}]
    first = truth["images"][0]
    assert (first["id"], first["license"]) == (records[0].image_id, 4)
    assert (root / layout.DATASET / "val" / first["file_name"]).is_file()
    assert [row["id"] for row in truth["annotations"]] == [
        region.region_id for record in records for region in record.regions
    ]
    assert [row["iscrowd"] for row in truth["annotations"]][:2] == [1, 0]
    both, masks = (
        json.loads((tmp_path / "out" / name).read_text())
        for name in ("predictions.json", "predictions_masks.json")
    )
    assert len(both) == sum(len(item.detections) for item in predictions)
    for row, alone in zip(both, masks, strict=True):
        assert {name: value for name, value in row.items() if name != "bbox"} == alone
        assert set(row) == {"image_id", "category_id", "score", "bbox", "segmentation"}
    item = predictions[0].detections[0]
    left, top, right, bottom = item.box_xyxy
    assert both[0]["bbox"] == [left, top, right - left, bottom - top]
    assert both[0]["segmentation"] == item.mask.to_json()
    assert both[0]["score"] == item.score


def test_without_the_source_ids_count_from_1(root, tmp_path):
    about, _, _ = parts(root)
    names = counted_names(about)
    assert not names.is_source
    write(root, tmp_path / "out", names)
    truth = json.loads((tmp_path / "out" / "ground_truth.json").read_text())
    assert truth["categories"] == [
        {"id": number, "name": name} for number, name in enumerate(about.categories, start=1)
    ]
    assert "license" not in truth["images"][0]
    assert np.isfinite(scores(tmp_path / "out", "predictions.json", "bbox")["ap"])


def test_equal_input_gives_equal_bytes(root, tmp_path):
    for name in ("first", "second"):
        write(root, tmp_path / name)
    for path in sorted((tmp_path / "first").iterdir()):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_another_or_a_changed_dataset_is_refused(tmp_path):
    root = write_evaluated(tmp_path)
    about, _, _ = parts(root)
    annotations = root / layout.DATASET / "annotations" / "instances_val.json"
    annotations.write_text(annotations.read_text().replace("circle", "zircle"))
    with pytest.raises(IntegrityError) as caught:
        source_names(root / layout.DATASET, about, "val")
    assert "its annotations were changed; the records are of" in caught.value.message
    assert caught.value.hint == "Run `groundwork data pull`, then `groundwork eval`."
