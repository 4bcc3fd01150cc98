"""The files by the rules of the format; and, where FiftyOne is installed, FiftyOne reads and scores."""

import base64
import dataclasses
import io
import json
import zlib

import numpy as np
import pytest

from tasks.data.commit import hash_file
from tasks.data.fiftyone_dataset import FiftyOneSource, encode_array, write_fiftyone
from tasks.data.image_outcomes import read_outcomes
from tasks.data.predictions import read_predictions
from tasks.data.prepared import read_about, read_records
from tasks.data.rle import decode_mask
from tasks.errors import IntegrityError
from tasks.operations import layout
from tests.tasks.data.evaluated_shapes import write_evaluated

FIELDS = ("ground_truth", "ground_truth_boxes", "predictions", "predicted_boxes")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_evaluated(tmp_path_factory.mktemp("evaluated"))


@pytest.fixture(scope="module")
def exported(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "out"
    return write(root, folder), parts(root)


def parts(root):
    about, records = read_about(root / layout.ABOUT), read_records(root / layout.VAL_RECORDS)
    _, found = read_predictions(
        root / layout.PREDICTIONS,
        records,
        dataset_sha256=about.dataset_sha256,
        split="val",
        categories=about.categories,
    )
    return about, records, {item.image_id: item for item in found}, read_outcomes(root / layout.EVALUATION)


def write(root, folder, **changes):
    about, records, predictions, outcomes = parts(root)
    source = FiftyOneSource(
        dataset=root / layout.DATASET,
        dataset_sha256=about.dataset_sha256,
        split="val",
        name="segmenter-val-aaaaaaaa",
        info={"split": "val"},
        categories=about.categories,
    )
    folder.mkdir()
    values = {"records": records, "predictions": predictions, "outcomes": outcomes} | changes
    write_fiftyone(folder, source, **values)
    return folder


def samples_of(folder):
    return json.loads((folder / "samples.json").read_text())["samples"]


def decode(value):
    content = base64.b64decode(value["$binary"]["base64"], validate=True)
    return np.load(io.BytesIO(zlib.decompress(content)), allow_pickle=False)


def test_a_mask_is_stored_as_the_releases_of_fiftyone_store_it():
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:3, 2:4] = True
    stored = encode_array(mask)
    # What fiftyone 1.0.2 and 1.22.1 write for this mask, up to the compressor's choices.
    theirs = (
        "eJyb7BfqGxDJyFDGUK2eklqcXKRupaBek2SorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RqmOgpmmjoKtQpkAy4G"
        "KGBkRJAIAACuWBuv"
    )
    assert stored["$binary"]["subType"] == "00"
    ours = zlib.decompress(base64.b64decode(stored["$binary"]["base64"]))
    assert ours == zlib.decompress(base64.b64decode(theirs))
    assert np.array_equal(decode(stored), mask)


def test_every_field_of_a_sample_is_declared(exported):
    folder, _ = exported
    metadata = json.loads((folder / "metadata.json").read_text())
    declared = {field["name"] for field in metadata["sample_fields"]}
    for sample in samples_of(folder):
        assert set(sample) - {"_id"} <= declared
    for field in metadata["sample_fields"]:
        if field["name"] in FIELDS:
            inner = {item["name"] for item in field["fields"][0]["fields"]} | {"_id", "_cls"}
            for sample in samples_of(folder):
                for label in sample[field["name"]]["detections"]:
                    assert set(label) <= inner


def test_masks_and_boxes_lose_nothing(exported):
    folder, (_, records, predictions, _) = exported
    for sample, record in zip(samples_of(folder), records, strict=True):
        assert sample["image_id"] == record.image_id
        sides = (
            ("ground_truth", "ground_truth_boxes", record.regions),
            ("predictions", "predicted_boxes", predictions[record.image_id].detections),
        )
        for masks, boxes, items in sides:
            labels = sample[masks]["detections"], sample[boxes]["detections"]
            for label, plain, item in zip(*labels, items, strict=True):
                assert label["label"] == plain["label"] == item.category
                left, top, right, bottom = item.box_xyxy
                relative = [left / 64, top / 64, (right - left) / 64, (bottom - top) / 64]
                assert plain["bounding_box"] == relative
                assert "mask" not in plain
                assert np.array_equal(rendered(label, 64), decode_mask(item.mask))


def rendered(label, size):
    """Put the mask of a label back into its image; the box must be of whole pixels and as large as it."""
    image = np.zeros((size, size), dtype=bool)
    if "mask" in label:
        pixels = decode(label["mask"])
        left, top, width, height = (round(size * part) for part in label["bounding_box"])
        assert [left, top, width, height] == [size * part for part in label["bounding_box"]]
        assert pixels.shape == (height, width)
        image[top : top + height, left : left + width] = pixels
    return image


def test_an_empty_mask_keeps_the_box_of_the_model(exported):
    folder, _ = exported
    label = samples_of(folder)[0]["predictions"]["detections"][-1]
    assert "mask" not in label
    assert label["bounding_box"] == [1.5 / 64, 2 / 64, 7.75 / 64, 6 / 64]
    assert label["confidence"] == 0.25


def test_verdicts_add_up_to_the_counts_of_the_image(exported):
    folder, (_, _, _, outcomes) = exported
    verdicts = set()
    for sample in samples_of(folder):
        for kind, truth, found in (
            ("mask", "ground_truth", "predictions"),
            ("box", "ground_truth_boxes", "predicted_boxes"),
        ):
            said = [label["eval"] for label in sample[found]["detections"]]
            true = [label["eval"] for label in sample[truth]["detections"]]
            verdicts |= set(said) | set(true)
            assert said.count("tp") == true.count("tp") == sample[f"{kind}_tp"]
            assert said.count("fp") == sample[f"{kind}_fp"]
            assert true.count("fn") == sample[f"{kind}_fn"]
            assert sample[f"{kind}_f1"] == outcomes[sample["image_id"]][kind].f1
            for label in sample[found]["detections"]:
                assert ("eval_iou" in label) == ("eval_region_id" in label) == (label["eval"] == "tp")
    assert verdicts == {"tp", "fp", "fn", "crowd", "ignored"}
    assert samples_of(folder)[3]["predictions"] == {"_cls": "Detections", "detections": []}


def test_ids_are_of_24_digits_and_differ(exported):
    folder, _ = exported
    samples = samples_of(folder)
    ids = [sample["_id"]["$oid"] for sample in samples]
    ids += [label["_id"]["$oid"] for s in samples for field in FIELDS for label in s[field]["detections"]]
    assert len(set(ids)) == len(ids)
    assert all(len(number) == 24 and int(number, 16) >= 0 for number in ids)
    assert all(0 <= sample["_rand"] < 1 for sample in samples)


def test_paths_are_relative_and_images_are_the_very_bytes(exported):
    folder, (_, records, _, _) = exported
    for sample, record in zip(samples_of(folder), records, strict=True):
        assert sample["filepath"] == f"data/{record.file.removeprefix('val/')}"
        assert hash_file(folder / sample["filepath"]) == record.sha256
        assert sample["metadata"]["size_bytes"] == (folder / sample["filepath"]).stat().st_size
        assert sample["metadata"]["mime_type"] == "image/jpeg"


def test_equal_input_gives_equal_bytes(root, exported, tmp_path):
    folder, _ = exported
    again = write(root, tmp_path / "again")
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 2 + 5
    for name in files:
        assert (folder / name).read_bytes() == (again / name).read_bytes()


def test_a_changed_image_is_refused(root, tmp_path):
    _, records, _, _ = parts(root)
    wrong = [dataclasses.replace(records[0], sha256="0" * 64), *records[1:]]
    with pytest.raises(
        IntegrityError, match=r"val_000\.jpg: is not the image of its record\. Run `groundwork"
    ):
        write(root, tmp_path / "out", records=wrong)


def test_an_evaluation_of_other_predictions_is_refused(root, tmp_path):
    _, records, predictions, _ = parts(root)
    image_id = records[0].image_id
    fewer = dataclasses.replace(predictions[image_id], detections=predictions[image_id].detections[:1])
    with pytest.raises(
        IntegrityError, match=r"has 1 detections, its evaluation \d+\. Run `groundwork eval`\."
    ):
        write(root, tmp_path / "out", predictions=predictions | {image_id: fewer})


@pytest.fixture
def imported(exported, tmp_path, monkeypatch):
    """The data set as FiftyOne holds it."""
    monkeypatch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path / "database"))
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    fiftyone = pytest.importorskip("fiftyone", reason="FiftyOne is not installed")
    try:
        dataset = fiftyone.Dataset.from_dir(
            dataset_dir=str(exported[0]), dataset_type=fiftyone.types.FiftyOneDataset, progress=False
        )
    except fiftyone.core.config.FiftyOneConfigError as error:
        pytest.skip(f"FiftyOne has no database here: {error}")
    yield dataset
    dataset.delete()


def test_fiftyone_imports_every_label_and_every_pixel(exported, imported):
    folder, (_, records, predictions, _) = exported
    assert len(imported) == len(records)
    for sample, record in zip(imported, records, strict=True):
        assert sample.filepath == str(folder / "data" / record.file.removeprefix("val/"))
        for field, items in (
            ("ground_truth", record.regions),
            ("predictions", predictions[record.image_id].detections),
        ):
            for label, item in zip(sample[field].detections, items, strict=True):
                image = np.zeros((64, 64), dtype=np.uint8)
                if label.has_mask:
                    image = label.to_segmentation(mask=image, target=1).mask
                assert label.label == item.category
                assert np.array_equal(image.astype(bool), decode_mask(item.mask))


@pytest.mark.parametrize(
    ("found", "truth", "kind"),
    [("predictions", "ground_truth", "mask"), ("predicted_boxes", "ground_truth_boxes", "box")],
)
def test_fiftyone_finds_the_same_regions(imported, found, truth, kind):
    from fiftyone import ViewField

    # FiftyOne's matching of masks needs a mask of every label, and it counts what lies on a crowd as right.
    label = ViewField("mask").exists() if kind == "mask" else ViewField("label") != ""
    for sample in imported.filter_labels(found, label, only_matches=False):
        for item in (*sample[found].detections, *sample[truth].detections):
            item["ours"] = item.eval
        sample.save()
    view = imported.filter_labels(found, label, only_matches=False)
    view.evaluate_detections(
        found, gt_field=truth, eval_key="eval", use_masks=kind == "mask", iscrowd="iscrowd", progress=False
    )
    for sample in view:
        for item in sample[found].detections:
            assert item.eval == item.ours or (item.ours, item.eval) == ("ignored", "tp")
        for item in sample[truth].detections:
            assert item.ours in (item.eval, "crowd")
