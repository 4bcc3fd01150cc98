"""A folder in the form of COCO panoptic, and every way in which its files can contradict each other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data.label_maps import UNLABELLED
from tasks.data.panoptic_folder import read_panoptic_split
from tasks.errors import DataError

FOLDER = Path(__file__).resolve().parents[2] / "data" / "weak" / "panoptic"


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "data")
    return tmp_path / "data"


def edit(folder, change):
    path = folder / "annotations" / "panoptic_train.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_images_and_classes():
    split = read_panoptic_split(FOLDER, "train", "objects")
    assert [image.image_id for image in split.images] == [885, 8762]
    assert split.classes.names[:2] == ("person", "car")
    assert split.classes.values == (1, 3, 10, 43, 187, 190, 191, 197, 199)
    assert split.classes.background == (187, 190, 191, 197, 199)
    assert split.classes.void == (0,)
    first = split.images[0]
    assert first.image == "train/000000000885.jpg"
    assert first.name == "000000000885.png"
    assert first.files == ("semantic_train/000000000885.png", "panoptic_train/000000000885.png")
    assert read_panoptic_split(FOLDER, "train", "parts").images[0].files == first.files[:1]


@pytest.mark.parametrize("place", [0, 1])
def test_objects_and_parts_tell_the_same_of_every_pixel(place):
    split = read_panoptic_split(FOLDER, "train", "objects")
    image, segments = split.images[place], split.segments[split.images[place].image_id]
    labels = np.array(Image.open(FOLDER / image.files[0]))
    truth = np.where(labels == 0, UNLABELLED, labels)
    objects, parts = split.regions(image), read_panoptic_split(FOLDER, "train", "parts").regions(image)
    assert objects.labels().tolist() == parts.labels().tolist() == truth.tolist()
    assert len(objects.values) == len(segments)
    areas = dict(zip(segments, objects.areas().tolist(), strict=True))
    document = json.loads((FOLDER / "annotations" / "panoptic_train.json").read_text())
    infos = next(row for row in document["annotations"] if row["image_id"] == image.image_id)["segments_info"]
    assert areas == {info["id"]: info["area"] for info in infos}


def test_label_map_and_segments_that_contradict_each_other(copy):
    path = copy / "semantic_train" / "000000000885.png"
    labels = np.array(Image.open(path))
    labels[labels == 43] = 1
    wrong = int((np.array(Image.open(path)) == 43).sum())
    Image.fromarray(labels).save(path)
    split = read_panoptic_split(copy, "train", "objects")
    with pytest.raises(DataError) as caught:
        split.regions(split.images[0])
    assert caught.value.message == (
        f"{wrong} pixels have another category than in panoptic_train/000000000885.png."
    )
    assert caught.value.obj == str(path)
    parts = read_panoptic_split(copy, "train", "parts")
    assert parts.regions(parts.images[0]).values


def test_a_segment_that_the_annotations_do_not_name(copy):
    def drop(document):
        del document["annotations"][0]["segments_info"][0]

    first = json.loads((copy / "annotations" / "panoptic_train.json").read_text())["annotations"][0]
    edit(copy, drop)
    split = read_panoptic_split(copy, "train", "objects")
    image = next(image for image in split.images if image.image_id == first["image_id"])
    with pytest.raises(
        DataError, match=f"holds segment {first['segments_info'][0]['id']}, which the annotations"
    ):
        split.regions(image)


def test_files_that_are_absent_or_of_another_size(copy):
    split = read_panoptic_split(copy, "train", "objects")
    (copy / "panoptic_train" / "000000000885.png").unlink()
    with pytest.raises(DataError, match="no such file"):
        split.regions(split.images[0])
    Image.new("L", (5, 5)).save(copy / "semantic_train" / "000000008762.png")
    with pytest.raises(DataError, match="the label map is 5x5, the image has"):
        split.regions(split.images[1])
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_panoptic_split(copy, "val", "parts")


@pytest.mark.parametrize("kind", ["objects", "parts"])
@pytest.mark.parametrize("value", [254, 255])
def test_a_full_label_map_has_no_gaps(copy, kind, value):
    path = copy / "semantic_train" / "000000000885.png"
    labels = np.array(Image.open(path))
    labels[0, :3] = value
    Image.fromarray(labels).save(path)
    split = read_panoptic_split(copy, "train", kind)
    with pytest.raises(DataError, match="3 pixels hold 254 or 255; a full label map has categories and void"):
        split.regions(split.images[0])


def update(table, place, **changes):
    return lambda document: document[table][place].update(changes)


def segment(**changes):
    return lambda document: document["annotations"][0]["segments_info"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("categories"), "the document must have 'categories' of type list, got None."),
        (lambda d: d["images"].clear(), "there is no image."),
        (lambda d: d["annotations"].pop(), "has no annotation."),
        (lambda d: d["images"].pop(), "which is not among the images."),
        (lambda d: d["images"].append(d["images"][0]), "two images have the id "),
        (lambda d: d["annotations"].append(d["annotations"][0]), "is annotated twice."),
        (update("images", 0, file_name="../a.jpg"), "file_name '../a.jpg' of image "),
        (update("annotations", 0, file_name="a\\b.png"), "is empty, absolute, or has a backslash."),
        (update("images", 0, height=0), "must have a size, got "),
        (update("images", 0, width="512"), "an image must have 'width' of type int, got '512'."),
        (update("categories", 0, id=254), "values must be 0 to 253, got 254."),
        (update("categories", 0, id=0), "value 0 stands for two classes."),
        (update("categories", 0, name=3), "a category must have a 'name' that is not empty, got '3'."),
        (update("categories", 0, isthing="yes"), "a category must have 'isthing' of type int, got 'yes'."),
        (segment(category_id=99), "has no category 99."),
        (segment(id=0), "segment 0 of image "),
        (segment(id=1 << 24), "segment 16777216 of image "),
        (segment(id="7"), "must have 'id' of type int, got '7'."),
    ],
)
def test_broken_annotations_are_named(copy, change, message):
    edit(copy, change)
    with pytest.raises(DataError) as caught:
        read_panoptic_split(copy, "train", "objects")
    assert message in caught.value.message
    assert caught.value.obj == str(copy / "annotations" / "panoptic_train.json")
    assert caught.value.hint == "Correct the files, or fetch them again."
