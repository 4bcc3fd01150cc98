"""Batches count alike, and move as a whole."""

from dataclasses import fields, replace

import pytest
import torch

from models.region_lm.batches import join_batches
from models.region_lm.conversation import IGNORED, Encoded
from tests.models.region_lm.systems import example, mixed, system


@pytest.fixture
def batch():
    return system("osprey_tiny")[0](mixed("osprey_tiny"))


def test_labels_are_counted_from_the_second_position(batch):
    encoded = (Encoded((1, 2, 3), (1, 2, IGNORED)), Encoded((4,), (4,)))
    few = replace(batch, encoded=encoded, image_of=(None, None), mentions=((), ()))
    assert few.num_learned == 1


def test_pixels_take_a_type_and_nothing_else_changes(batch):
    moved = batch.to("cpu", torch.float16)
    assert {pixels.dtype for pixels in moved.pixels.values()} == {torch.float16}
    assert {mask.dtype for mask in moved.masks} == {torch.bool}
    assert moved.encoded is batch.encoded
    everywhere = batch.to("meta")
    assert {mask.device.type for mask in everywhere.masks} == {"meta"}
    assert {field.name for field in fields(batch)} == {
        "encoded",
        "image_of",
        "mentions",
        "pixels",
        "layouts",
        "transforms",
        "masks",
    }


def test_some_samples_keep_all_images(batch):
    few = batch.select([3, 1])
    assert few.encoded == (batch.encoded[3], batch.encoded[1])
    assert few.image_of == (2, None)
    assert few.mentions == ((0, 1, 2), ())
    assert few.pixels is batch.pixels
    _, model = system("osprey_tiny")
    with torch.no_grad():
        seen = model.see(batch)
        whole, part = (model.read(model.insert(samples, seen)).logits for samples in (batch, few))
    assert torch.allclose(part[0], whole[3, : part.shape[1]], atol=1e-5)


def test_parts_of_other_samples_are_refused(batch):
    with pytest.raises(ValueError, match=r"the same samples and images, got \(4, 3, 4\) and \(3, 3, 3\)"):
        replace(batch, image_of=(None, None, None))
    with pytest.raises(ValueError, match=r"pixels\['convnext'\] must be 3 canvases, got 2"):
        replace(batch, pixels={"convnext": batch.pixels["convnext"][:2]})
    with pytest.raises(ValueError, match="a sample is of image 3, but there are 3"):
        replace(batch, image_of=(3, None, 1, 2))


def test_an_example_may_be_text_alone():
    assert example(None).masks is None
    assert example(None).image is None


@pytest.mark.parametrize("name", ["osprey_tiny", "tokenpacker_osprey_hd_tiny"])
def test_batches_behind_each_other_are_one_batch(name):
    processor, _ = system(name)
    samples = mixed(name)  # the second is text alone, images have other numbers of tiles
    joined = join_batches([processor([sample]) for sample in samples])
    whole = processor(samples)
    assert joined.encoded == whole.encoded
    assert joined.image_of == whole.image_of == (0, None, 1, 2)
    assert joined.mentions == whole.mentions
    assert joined.layouts == whole.layouts
    assert joined.transforms == whole.transforms
    for key, pixels in whole.pixels.items():
        assert torch.equal(joined.pixels[key], pixels)
    assert all(torch.equal(*pair) for pair in zip(joined.masks, whole.masks, strict=True))
    assert join_batches([processor([samples[1]])]).pixels == {}
