"""Every file of a split is looked at: listed, present, whole, of the stated size."""

import pytest
from PIL import Image

from tasks.data.coco import read_split
from tasks.data.findings import Finding
from tasks.data.leakage import Look
from tasks.data.validators_images import check_images
from tests.tasks.data.test_images import bomb
from tests.tiny.faults import edited, manifest_of
from tests.tiny.shapes import write_shapes_world


@pytest.fixture
def world(tmp_path):
    return write_shapes_world(tmp_path / "world", num_train=3, num_val=1)


def check(world):
    seen = list(check_images(world, read_split(world, "train"), manifest_of(world)))
    return [item for item in seen if isinstance(item, Finding)], [
        item for item in seen if isinstance(item, Look)
    ]


def test_clean(world):
    found, looks = check(world)
    assert found == []
    assert [look.obj for look in looks] == [
        "train/train_000.jpg",
        "train/train_001.jpg",
        "train/train_002.jpg",
    ]


def overwrite(content):
    return lambda image: image.write_bytes(content(image.read_bytes()))


def rotate(image):
    exif = Image.Exif()
    exif[0x0112] = 8
    with Image.open(image) as opened:
        opened.load()
        opened.save(image, exif=exif)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (overwrite(lambda content: content[: len(content) // 2]), "image-undecodable"),
        (overwrite(lambda content: b""), "image-not-an-image"),
        (overwrite(lambda content: b"<html>404</html>"), "image-not-an-image"),
        (overwrite(lambda content: bomb(40_000, 40_000)), "image-too-large"),
        (lambda image: Image.new("RGB", (64, 65)).save(image), "image-size-mismatch"),
        (lambda image: image.unlink(), "image-missing"),
        (rotate, "image-exif-rotated"),
    ],
)
def test_one_bad_file(world, damage, rule):
    damage(world / "train" / "train_001.jpg")
    found, looks = check(world)
    assert [finding.rule for finding in found] == [rule]
    assert found[0].obj == "annotations/instances_train.json: image 2 ('train_001.jpg')"
    assert len(looks) == 2


def test_unlisted_files(world):
    with edited(world, "train") as document:
        del document["images"][1]
    found, looks = check(world)
    assert [(finding.rule, finding.obj) for finding in found] == [("image-unlisted", "train/train_001.jpg")]
    assert found[0].sentence == "is not in annotations/instances_train.json."
    assert len(looks) == 2


def test_rows_that_the_table_rules_refuse_are_not_opened(world):
    with edited(world, "train") as document:
        document["images"][0]["file_name"] = "../val/val_000.jpg"
        document["images"][1]["file_name"] = None
        document["images"][2].update(width="64", height=None)
    found, looks = check(world)
    assert {finding.rule for finding in found} == {"image-unlisted"}
    assert len(looks) == 1


def test_a_file_that_is_listed_twice_is_looked_at_once(world):
    with edited(world, "train") as document:
        document["images"].append({**document["images"][0], "id": 99})
    found, looks = check(world)
    assert found == []
    assert len(looks) == 3
