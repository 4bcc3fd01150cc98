"""Steps follow from seed and place alone; files are checked against their records and kept."""

import numpy as np
import pytest
import torch
from PIL import Image

from models.segmentation.semantic_recipes import SemanticCropPolicy
from tasks.data.label_maps import UNLABELLED
from tasks.data.semantic_batches import SemanticStore, draw_semantic_places, images_of_step
from tasks.errors import DataError, IntegrityError
from tests.tasks.data.test_semantic_datasets import folders, write

POLICY = SemanticCropPolicy(size=24)
STEP = {"seed": 3, "images_per_step": 4, "step": 5}


@pytest.fixture
def world(tmp_path):
    labels = np.full((40, 60), UNLABELLED, dtype=np.uint8)
    labels[4:18, 5:50], labels[22:38, 10:30] = 7, 200
    records = [write(tmp_path, name, np.roll(labels, 3 * n, axis=1)) for n, name in enumerate("abc")]
    return records, folders(tmp_path)


def test_parts_of_a_step_are_the_step(world):
    store = SemanticStore(*world)
    whole = draw_semantic_places(store, POLICY, **STEP, places=range(4))
    assert whole.image_BCHW.shape == (4, 3, 24, 24)
    assert whole.label_BHW.dtype == torch.int64
    for places in (range(2), range(2, 4), range(3, 4)):
        part = draw_semantic_places(SemanticStore(*world, room=0), POLICY, **STEP, places=places)
        assert torch.equal(part.image_BCHW, whole.image_BCHW[places.start : places.stop])
        assert torch.equal(part.label_BHW, whole.label_BHW[places.start : places.stop])
    other = draw_semantic_places(store, POLICY, **(STEP | {"step": 6}), places=range(4))
    assert not torch.equal(other.image_BCHW, whole.image_BCHW)


def test_every_image_occurs_once_in_a_pass(world):
    store = SemanticStore(*world)
    assert len(store) == 3
    seen = [
        image for step in range(6) for image in images_of_step(store, images_per_step=4, seed=3, step=step)
    ]
    assert all(sorted(seen[start : start + 3]) == [0, 1, 2] for start in range(0, 24, 3))


def test_files_are_kept_while_there_is_room(world):
    records, where = world
    small, none = SemanticStore(*world, room=40 * 60 * 5), SemanticStore(*world, room=0)
    for store in (small, none):
        first = store[0]
        assert first[0].dtype == torch.uint8
        assert first[1].dtype == torch.int16
        assert (store[0][0] is first[0]) == (store is small)
        assert store[1][0] is not store[1][0]
    (where.images / records[0].image).unlink()
    assert small[0][0].shape == (3, 40, 60)
    with pytest.raises(DataError, match="no such file"):
        none[0]


def test_another_image_of_the_same_size_is_refused(world):
    records, where = world
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(where.images / records[1].image)
    with pytest.raises(IntegrityError, match=r"b\.png: is not the image that was labelled: its sha256 diff"):
        SemanticStore(*world)[1]


def test_nothing_to_learn_from_is_refused(world):
    with pytest.raises(DataError, match=r"there is no training image\. Name the --split"):
        SemanticStore([], world[1])
