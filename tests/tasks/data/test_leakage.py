"""Copies of val images in train are found however they were made; look-alikes are not copies."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tasks.data.coco import CocoSplit
from tasks.data.leakage import MIN_CORRELATION, check_looks, check_names, correlation, look_at

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


def images(split, count):
    paths = sorted((SAMPLE / split).iterdir())[:count]
    return [Image.open(path).convert("RGB") for path in paths]


def look(image, name="x", sha256=""):
    return look_at(name, sha256 or name, np.asarray(image))


def jpeg(image, quality):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


COPIES = {
    "encoded again": lambda image: jpeg(image, 40),
    "half size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "larger": lambda image: image.resize((image.width * 3 // 2, image.height * 3 // 2)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda image: image.rotate(180),
    "mirrored and encoded": lambda image: jpeg(ImageOps.mirror(image), 60),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
def test_every_copy_is_found(change):
    originals = images("val", 12)
    train = [look(image, f"train/{number}") for number, image in enumerate(originals)]
    val = [look(change(image), f"val/{number}") for number, image in enumerate(originals)]
    found = list(check_looks(train, val))
    assert [finding.obj for finding in found] == [f"val/{number}" for number in range(12)]
    for number, finding in enumerate(found):
        assert finding.rule == "leak-look"
        assert finding.sentence.startswith(f"looks like train/{number}, ")


def test_many_dark_images_alike_are_no_copies():
    train = [look(image, f"train/{number}") for number, image in enumerate(images("train", 40))]
    val = [look(image, f"val/{number}") for number, image in enumerate(images("val", 20))]
    assert list(check_looks(train, val)) == []


def test_the_same_file():
    first, second = images("val", 2)
    train = [look(first, "train/a.jpg", "aa")]
    found = list(check_looks(train, [look(first, "val/b.jpg", "aa"), look(second, "val/c.jpg", "cc")]))
    assert [(finding.rule, finding.obj) for finding in found] == [("leak-sha256", "val/b.jpg")]
    assert found[0].sentence == "is the same file as train/a.jpg."
    assert list(check_looks([], train)) == []


def test_images_of_one_colour_have_no_look():
    black, white = (look(Image.new("RGB", (40, 30), colour), colour) for colour in ("black", "white"))
    assert correlation(black.thumbnail, white.thumbnail, 0) == 0.0 < MIN_CORRELATION
    assert list(check_looks([black], [white, look(Image.new("RGB", (40, 30)), "other")])) == []


def test_a_thumbnail_is_normalised():
    (image,) = images("val", 1)
    assert correlation(look(image).thumbnail, look(image).thumbnail, 0) == pytest.approx(1.0, abs=1e-5)


def test_names_and_ids():
    train, val = (
        CocoSplit(
            name=name,
            file=f"annotations/instances_{name}.json",
            images=tuple({"id": number, "file_name": file} for number, file in rows),
            annotations=(),
            categories=(),
        )
        for name, rows in (("train", [(1, "a.jpg"), (2, "b.jpg")]), ("val", [(2, "c.jpg"), (3, "a.jpg")]))
    )
    assert [(finding.rule, finding.sentence) for finding in check_names(train, val)] == [
        ("leak-image-id", "id 2 is also in annotations/instances_train.json."),
        ("leak-file-name", "file_name 'a.jpg' is also in annotations/instances_train.json."),
    ]
