"""Samples become what a processor takes; the whole path from a file to a batch runs."""

import numpy as np
import pytest
from PIL import Image

from models.region_lm.conversation import Token
from models.region_lm.mentions import Mention
from models.region_lm.tokens import IMAGE
from tasks.data.osprey_files import read_osprey_samples
from tasks.data.region_examples import load_example
from tasks.data.region_records import RegionTurn, SampleRegion
from tasks.data.rle import decode_mask
from tasks.data.shapes_world import WorldSettings, draw_scene
from tasks.errors import DataError
from tasks.operations.shapes_files import write_shapes_files
from tests.models.region_lm.systems import system
from tests.tasks.data.test_region_records import ANSWER, MASK, REGION, sample

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(PIXELS).save(tmp_path / "a/b.png")
    return tmp_path


def test_pixels_masks_and_turns(folder):
    box_only = SampleRegion(box_xyxy=(0.5, 0.0, 2.0, 3.0))
    mask_only = SampleRegion(mask=MASK)
    given = sample(file="a/b.png", regions=(REGION, box_only, mask_only))
    example = load_example(given, folder)
    np.testing.assert_array_equal(example.image, PIXELS)
    assert example.masks.dtype == np.bool_
    np.testing.assert_array_equal(example.masks[0], decode_mask(MASK))
    np.testing.assert_array_equal(example.masks[2], decode_mask(MASK))
    box = np.zeros((6, 8), dtype=bool)
    box[0:3, 0:2] = True
    np.testing.assert_array_equal(example.masks[1], box)
    assert example.turns[0].parts[-2:] == (Mention(0), "?")
    boxes = load_example(given, folder, shown="box").masks
    assert boxes.sum(axis=(1, 2)).tolist() == [9, 6, 36]


def test_without_an_image_or_regions(folder):
    words = (RegionTurn(role="user", parts=("Hello",)), ANSWER)
    alone = load_example(sample(file=None, size=None, regions=(), turns=words), folder)
    assert alone.image is None
    assert alone.masks is None
    whole = load_example(sample(file="a/b.png", size=None, regions=(), turns=words), folder)
    assert whole.masks is None
    assert whole.turns[0].parts[0] == Token(IMAGE)


def test_an_image_of_another_size_is_refused(folder):
    wide = sample(file="a/b.png", size=(6, 9), regions=(SampleRegion(box_xyxy=(0.0, 0.0, 9.0, 6.0)),))
    with pytest.raises(DataError, match="the file is 8x6, the annotations say 9x6"):
        load_example(wide, folder)
    with pytest.raises(DataError, match="no such file"):
        load_example(sample(), folder)


def test_from_a_file_to_a_batch(tmp_path):
    settings = WorldSettings(side=64, least=2, most=3)
    write_shapes_files(tmp_path / "w", seed=1, num_train=2, num_val=1, settings=settings)
    samples = read_osprey_samples(
        tmp_path / "w/osprey/conversation_train.json", kind="conversation", dataset="shapes"
    )
    examples = [load_example(one, tmp_path / "w") for one in samples]
    for example, number in zip(examples, (1, 2), strict=True):
        scene = draw_scene(1, number, settings)
        np.testing.assert_array_equal(example.masks, np.stack([shape.mask for shape in scene.objects]))
    processor, model = system("osprey_tiny")
    batch = processor(examples)
    assert [len(mentions) for mentions in batch.mentions] == [len(example.masks) for example in examples]
    assert model(batch).loss.isfinite()
