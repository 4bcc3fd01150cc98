import json
import shutil

import pytest

from tasks.data.commit import read_manifest, verify_directory
from tasks.errors import DataError, IntegrityError, UnavailableError, UsageError
from tasks.operations import layout
from tasks.operations.exporting import SCHEMAS, export_predictions
from tasks.services.settings import Settings
from tests.tasks.data.evaluated_shapes import MODEL, NAMES, write_evaluated


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_evaluated(tmp_path_factory.mktemp("evaluated"))


@pytest.fixture
def root(made, tmp_path):
    shutil.copytree(made, tmp_path / "project")
    return tmp_path / "project"


def export(root, form="coco", out=None):
    return export_predictions(form, out or root / "out", root, Settings.load(root))


def test_coco(root):
    said = []
    result = export_predictions("coco", root / "out", root, Settings.load(root), say=said.append)
    manifest = verify_directory(root / "out", schema=SCHEMAS["coco"])
    assert sorted(manifest.files) == ["ground_truth.json", "predictions.json", "predictions_masks.json"]
    truth = json.loads((root / "out" / "ground_truth.json").read_text())
    assert {row["id"]: row["name"] for row in truth["categories"]} == dict(NAMES.values())
    assert truth["info"]["description"] == "segmenter-val-aaaaaaaa"
    assert result["category_ids"] == manifest.provenance["category_ids"] == "of the source"
    assert (result["images"], result["regions"]) == (5, len(truth["annotations"]))
    assert result["detections"] == len(json.loads((root / "out" / "predictions.json").read_text()))
    assert manifest.provenance["model_sha256"] == result["model_sha256"] == MODEL
    assert result["sha256"] == manifest.sha256
    assert said == [f"exporting 5 images of val to {root / 'out'}"]


def test_coco_needs_no_images(root):
    shutil.rmtree(root / layout.DATASET)
    assert export(root)["category_ids"] == "counted from 1"


def test_fiftyone(root):
    result = export(root, "fiftyone")
    manifest = verify_directory(root / "out", schema=SCHEMAS["fiftyone"])
    assert {"metadata.json", "samples.json", "data/val_000.jpg"} <= set(manifest.files)
    assert result["files"] == 7
    info = json.loads((root / "out" / "metadata.json").read_text())["info"]
    assert info == manifest.provenance
    assert str(root) not in (root / "out" / "samples.json").read_text()


@pytest.mark.parametrize("form", ["coco", "fiftyone"])
def test_an_export_is_replaced_by_the_same(root, form):
    first = export(root, form)
    assert export(root, form) == first
    (root / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds files that this command did not write; .*mine\.txt"):
        export(root, form)


def test_another_format_is_not_replaced(root):
    export(root)
    with pytest.raises(
        UsageError, match=r"holds 'groundwork\.coco_export/1', expected 'groundwork\.fiftyone_"
    ):
        export(root, "fiftyone")


def test_predictions_of_another_evaluation_are_refused(root):
    path = root / layout.PREDICTIONS
    path.write_bytes(path.read_bytes().replace(b'"score":0.25', b'"score":0.26'))
    with pytest.raises(
        IntegrityError, match=r"val\.jsonl: are not those of the evaluation .* Run `groundwork"
    ):
        export(root)
    assert not (root / "out").exists()


def test_predictions_are_checked_by_their_reader(root):
    # An evaluation that was made for these bytes does not make them right.
    from tasks.data.commit import commit_directory, hash_file
    from tasks.operations.measuring import EVALUATION_SCHEMA

    path, evaluation = root / layout.PREDICTIONS, root / layout.EVALUATION
    path.write_bytes(path.read_bytes().replace(b'"score":0.25', b'"score":1.25'))
    metrics = json.loads((evaluation / "metrics.json").read_text()) | {"predictions_sha256": hash_file(path)}
    tables = {name: (evaluation / name).read_bytes() for name in ("per_image.parquet", "matches.parquet")}

    def write(staging):
        (staging / "metrics.json").write_text(json.dumps(metrics))
        for name, content in tables.items():
            (staging / name).write_bytes(content)

    commit_directory(evaluation, write, schema=EVALUATION_SCHEMA)
    with pytest.raises(DataError, match=r"score must be finite and in \[0, 1\], got 1\.25"):
        export(root)


def test_nothing_to_export(root):
    shutil.rmtree(root / layout.EVALUATION)
    with pytest.raises(UnavailableError, match=r"evaluation: has not been made\. Run `groundwork eval`\."):
        export(root)


def test_images_that_are_missing_or_of_another_dataset(root):
    manifest = root / layout.DATASET / "manifest.json"
    manifest.write_text(manifest.read_text().replace("groundwork.dataset/1", "groundwork.dataset/2"))
    assert read_manifest(root / layout.DATASET).schema.endswith("/2")
    with pytest.raises(IntegrityError, match="is another dataset than that of the predictions"):
        export(root, "fiftyone")
    shutil.rmtree(root / layout.DATASET)
    with pytest.raises(UnavailableError, match=r"dataset: is not here\. Run `groundwork data pull`\."):
        export(root, "fiftyone")
