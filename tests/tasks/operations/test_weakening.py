"""A folder of full labels becomes a committed directory of weak ones, the same every time."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tasks.data.commit import verify_directory
from tasks.data.label_maps import UNLABELLED
from tasks.data.semantic_datasets import SemanticCropPolicy, SemanticCrops, SemanticFolders, read_semantic
from tasks.data.semantic_records import read_classes, read_semantic_records
from tasks.errors import DataError, UnavailableError, UsageError
from tasks.operations.weakening import WEAK_SCHEMA, Weakening, weaken_folder
from tests.tiny.shapes import write_shapes_world

FOLDER = Path(__file__).resolve().parents[2] / "data" / "weak" / "panoptic"


def weaken(out, *, source=FOLDER, **changes):
    return weaken_folder(
        Weakening(**{"source": source, "out": out, "kind": "scribbles", "seed": 1, **changes})
    )


def maps(out):
    return {path.name: np.array(Image.open(path)) for path in sorted((out / "labels").iterdir())}


@pytest.mark.parametrize("regions", ["objects", "parts"])
@pytest.mark.parametrize("kind", ["points", "scribbles", "blocks"])
def test_weak_labels_are_true_and_counted(tmp_path, kind, regions):
    document = weaken(tmp_path / "out", kind=kind, regions=regions)
    manifest = verify_directory(tmp_path / "out", schema=WEAK_SCHEMA)
    assert document["manifest_sha256"] == manifest.sha256
    assert (
        json.loads((tmp_path / "out" / "weak_labels.json").read_text()) | {"manifest_sha256": manifest.sha256}
        == document
    )
    labelled = with_class = 0
    for name, labels in maps(tmp_path / "out").items():
        truth = np.array(Image.open(FOLDER / "semantic_train" / name))
        marked = labels != UNLABELLED
        assert (labels[marked] == truth[marked]).all()
        labelled, with_class = labelled + int(marked.sum()), with_class + int((truth > 0).sum())
    counts = document["counts"]
    assert (counts["labelled"], counts["with_class"]) == (labelled, with_class)
    assert sum(row["labelled"] for row in document["classes"]) == labelled
    low, high = {"points": (1e-4, 2e-3), "scribbles": (0.005, 0.06), "blocks": (0.0999, 0.1)}[kind]
    assert low <= counts["share"] <= high
    assert counts["regions_marked"] >= 12
    assert (document["kind"], document["regions"], document["images"]) == (kind, regions, 2)


def test_the_directory_trains_and_its_truth_can_be_scored(tmp_path):
    weaken(tmp_path / "out", kind="blocks", share=0.5)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "labels", "records.jsonl", "classes.json", "weak_labels.json", "sheet.jpg", "manifest.json",
        "ATTRIBUTION_train.csv",
    }  # fmt: skip
    records, classes = read_semantic_records(out / "records.jsonl"), read_classes(out / "classes.json")
    crops = SemanticCrops(
        records,
        SemanticFolders(images=FOLDER, labels=out, classes=classes),
        SemanticCropPolicy(size=64),
        length=4,
        seed=0,
    )
    targets = torch.stack([crops[position].targets for position in range(4)])
    assert 0 <= int(targets.max()) < len(classes.names)
    weaken(tmp_path / "full", kind="full")
    full = read_semantic_records(tmp_path / "full" / "records.jsonl")
    truth = read_semantic(full[0], SemanticFolders(images=FOLDER, labels=tmp_path / "full", classes=classes))[
        1
    ]
    weak = read_semantic(records[0], SemanticFolders(images=FOLDER, labels=out, classes=classes))[1]
    assert (truth[weak >= 0] == weak[weak >= 0]).all()
    assert 0.45 < int((weak >= 0).sum()) / int((truth >= 0).sum()) <= 0.5
    with Image.open(out / "sheet.jpg") as sheet:
        assert sheet.width > 600


def test_objects_with_masks_are_a_source_too(tmp_path):
    world = write_shapes_world(tmp_path / "world", num_train=3)
    full = weaken(tmp_path / "full", source=world, kind="full")
    assert (
        full["counts"]["labelled"] == full["counts"]["with_class"] == full["counts"]["pixels"] == 3 * 64 * 64
    )
    assert [row["name"] for row in full["classes"]] == ["background", "circle", "square", "triangle"]
    weak = weaken(tmp_path / "weak", source=world)
    assert weak["counts"]["regions"] == weak["counts"]["regions_marked"] >= 12
    truth = maps(tmp_path / "full")
    for name, labels in maps(tmp_path / "weak").items():
        assert (labels[labels != UNLABELLED] == truth[name][labels != UNLABELLED]).all()
    assert (tmp_path / "weak" / "README.md").read_text().startswith("# Shapes world")


def test_the_same_seed_gives_the_same_bytes_wherever_it_runs(tmp_path):
    def weaken_points(out, **changes):
        return weaken(out, kind="points", **changes)

    first = weaken_points(tmp_path / "a")
    shutil.copytree(FOLDER, tmp_path / "elsewhere")
    assert weaken_points(tmp_path / "b", source=tmp_path / "elsewhere") == first
    assert weaken_points(tmp_path / "a") == first, "a directory of this kind is replaced"
    assert weaken_points(tmp_path / "c", seed=2)["manifest_sha256"] != first["manifest_sha256"]
    assert [path.name for path in tmp_path.glob(".tmp-*")] == []


def test_the_labels_of_an_image_do_not_depend_on_the_others(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(FOLDER, source)
    path = source / "annotations" / "panoptic_train.json"
    document = json.loads(path.read_text())
    document["images"] = [row for row in document["images"] if row["id"] == 8762]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] == 8762]
    path.write_text(json.dumps(document))
    both, alone = weaken(tmp_path / "both"), weaken(tmp_path / "alone", source=source)
    assert both["source_sha256"] != alone["source_sha256"]
    name = "000000008762.png"
    assert maps(tmp_path / "both")[name].tolist() == maps(tmp_path / "alone")[name].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "--seed: -1 is negative. Say a number of at least 0."),
        ({"share": 0.1}, "--share: scribbles have no share. Leave it out, or say --kind blocks."),
        (
            {"kind": "blocks", "share": 0.0},
            "--share: 0.0 is no share. Say more than 0 and at most 1, e.g. 0.1.",
        ),
        (
            {"kind": "blocks", "share": 1.2},
            "--share: 1.2 is no share. Say more than 0 and at most 1, e.g. 0.1.",
        ),
    ],
)
def test_wrong_wishes(tmp_path, changes, message):
    with pytest.raises(UsageError) as caught:
        weaken(tmp_path / "out", **changes)
    assert str(caught.value) == message


def test_a_small_share_is_possible(tmp_path):
    assert weaken(tmp_path / "out", kind="blocks", share=0.002)["policy"]["smallest_region"] == 500


def test_places_that_must_not_be_written(tmp_path):
    with pytest.raises(UsageError, match=r"is not a directory\. Name the folder above annotations/"):
        weaken(tmp_path / "out", source=tmp_path / "absent")
    source = tmp_path / "source"
    shutil.copytree(FOLDER, source)
    for out in (source, source / "out", tmp_path):
        with pytest.raises(UsageError, match=f"overlaps the source {source}"):
            weaken(out, source=source)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UsageError, match=r"exists and was not made by this command\."):
        weaken(other)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"exists and was not made by this command\."):
        weaken(tmp_path / "link")


def test_sources_that_cannot_be_used(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(FOLDER, source)
    for path in (source / "semantic_train").iterdir():
        with Image.open(path) as image:
            size = image.size
        Image.new("L", size).save(path)
    with pytest.raises(DataError, match=r"no region has 64 pixels: there is nothing to draw on\."):
        weaken(tmp_path / "out", source=source, regions="parts")
    (source / "train" / "000000000885.jpg").unlink()
    with pytest.raises(UnavailableError, match=r"No such file or directory\. Nothing was changed\."):
        weaken(tmp_path / "out", source=source)
    with pytest.raises(
        DataError, match=r"holds neither annotations/panoptic_val\.json nor annotations/instances_v"
    ):
        weaken(tmp_path / "out", source=source, split="val")
    assert not (tmp_path / "out").exists()
