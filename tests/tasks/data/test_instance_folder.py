"""Masks of objects become full labels: the background, and each category a value of its own."""

import numpy as np
import pytest

from tasks.data.coco import read_mask
from tasks.data.instance_folder import read_instance_split
from tasks.data.label_maps import UNLABELLED
from tasks.data.rle import decode_mask, encode_mask
from tasks.errors import DataError
from tests.tiny.faults import edited
from tests.tiny.shapes import CATEGORIES, write_shapes_world


@pytest.fixture
def world(tmp_path):
    return write_shapes_world(tmp_path / "world", num_train=3)


def test_every_pixel_has_the_class_of_its_object(world):
    split = read_instance_split(world, "train", "objects")
    assert split.classes.names == ("background", *CATEGORIES)
    assert split.classes.values == (0, 1, 2, 3)
    assert (split.classes.background, split.classes.void) == ((0,), ())
    assert [image.name for image in split.images] == ["train_000.png", "train_001.png", "train_002.png"]
    with edited(world, "train") as document:
        rows = document["annotations"]
    for image in split.images:
        truth = np.zeros((image.height, image.width), dtype=np.uint8)
        own = [row for row in rows if row["image_id"] == image.image_id]
        for row in own:
            truth[decode_mask(read_mask(row["segmentation"], 64, 64))] = row["category_id"]
        regions = split.regions(image)
        assert regions.labels().tolist() == truth.tolist()
        assert len(regions.values) == len(own) + 1
        parts = read_instance_split(world, "train", "parts").regions(image)
        assert parts.labels().tolist() == truth.tolist()


def test_category_ids_may_be_any_and_crowds_are_unknown(world):
    with edited(world, "train") as document:
        for row in document["categories"]:
            row["id"] *= 1000
        for row in document["annotations"]:
            row["category_id"] *= 1000
        first = document["annotations"][0]
        first["iscrowd"] = 1
        rle = encode_mask(np.ones((64, 64), dtype=bool) & (np.arange(64) < 10)[:, None])
        first["segmentation"] = rle.to_json()
        document["annotations"] = document["annotations"][:1]
    split = read_instance_split(world, "train", "objects")
    labels = split.regions(split.images[0]).labels()
    assert (labels[:10] == UNLABELLED).all()
    assert (labels[10:] == 0).all()
    assert (split.regions(split.images[1]).labels() == 0).all(), "an image without an object is background"


def update(table, **changes):
    return lambda document: document[table][0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (update("categories", name=""), "a category must have a 'name' that is not empty, got ''."),
        (update("categories", name="background"), "name 'background' stands for two classes."),
        (update("categories", id="1"), "a category must have 'id' of type int, got '1'."),
        (update("categories", id=7), "has category 1, which is not there."),
        (
            lambda d: d["categories"].extend({"id": n, "name": f"c{n}"} for n in range(4, 254)),
            "253 categories do not fit into one byte a pixel.",
        ),
        (update("images", file_name="../a.jpg"), "file_name '../a.jpg' of image 1 has an empty part"),
        (update("images", height=0), "image 1 must have a size, got 64x0."),
        (update("images", id=2), "two images have the id '2'."),
        (update("images", file_name="train_001.jpeg"), "two images have the name 'train_001.png'."),
        (lambda d: d["images"].clear(), "there is no image."),
        (update("annotations", image_id=77), "lies on image 77, which is not there."),
        (update("annotations", category_id=None), "must have 'category_id' of type int, got None."),
        (update("annotations", iscrowd="no"), "must have iscrowd 0 or 1, got 'no'."),
    ],
)
def test_broken_annotations_are_named(world, change, message):
    with edited(world, "train") as document:
        change(document)
    with pytest.raises(DataError) as caught:
        read_instance_split(world, "train", "objects")
    assert message in caught.value.message
    assert caught.value.obj == str(world / "annotations" / "instances_train.json")
    assert caught.value.hint == "Run `groundwork data check` for the whole list."


def test_broken_masks_are_named(world):
    with edited(world, "train") as document:
        number = document["annotations"][0]["id"]
        document["annotations"][0]["segmentation"] = None
    split = read_instance_split(world, "train", "objects")
    with pytest.raises(DataError, match=rf"annotation {number} of image 1: segmentation must be polygons or"):
        split.regions(split.images[0])
