"""The tiny world is what its users rely on: exact, seeded, clean."""

import json

import numpy as np
import pytest
from PIL import Image

from tasks.data.commit import describe
from tasks.data.records import MaskRle
from tasks.data.rle import decode_mask, mask_box
from tests.tiny.shapes import CATEGORIES, write_shapes_world


def test_same_seed_same_bytes(tmp_path):
    first, second, other = (
        describe(write_shapes_world(tmp_path / name, seed=seed), schema="x")
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.sha256 == second.sha256 != other.sha256


@pytest.mark.parametrize("size", [32, 64, 96])
def test_boxes_and_areas_are_those_of_the_masks(tmp_path, size):
    folder = write_shapes_world(tmp_path, num_train=3, num_val=2, size=size)
    for split in ("train", "val"):
        document = json.loads((folder / "annotations" / f"instances_{split}.json").read_bytes())
        assert [row["name"] for row in document["categories"]] == list(CATEGORIES)
        for row in document["annotations"]:
            mask = MaskRle.from_json(row["segmentation"])
            left, top, width, height = row["bbox"]
            assert mask_box(mask) == (left, top, left + width, top + height)
            assert decode_mask(mask).sum() == row["area"]
        for row in document["images"]:
            pixels = np.asarray(Image.open(folder / split / row["file_name"]))
            assert pixels.shape == (size, size, 3)
