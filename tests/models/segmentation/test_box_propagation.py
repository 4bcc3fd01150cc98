import numpy as np
import pytest
import torch

from models.segmentation.box_carving import BoxMask
from models.segmentation.box_propagation import PropagationConfig, masks_by_propagation

CONFIG = PropagationConfig()


def scene():
    """A bright ellipse and a dark triangle on a grainy ground, with their masks and boxes."""
    y, x = np.mgrid[:80, :120]
    ellipse = ((x - 35) / 20) ** 2 + ((y - 40) / 14) ** 2 <= 1
    triangle = (x >= 75) & (y >= 20) & (x - 75 + y - 20 <= 34)
    image = np.full((80, 120, 3), 90.0)
    image[ellipse] = (210, 180, 60)
    image[triangle] = (20, 30, 60)
    image += np.random.default_rng(0).normal(0, 6, image.shape)
    boxes = []
    for mask in (ellipse, triangle):
        rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return image.clip(0, 255).astype(np.uint8), (ellipse, triangle), torch.tensor(boxes).float()


def whole(found, shape):
    mask = np.zeros(shape, bool)
    height, width = found.mask_HW.shape
    mask[found.top : found.top + height, found.left : found.left + width] = found.mask_HW.numpy()
    return mask


def test_objects_are_cut_out_of_their_boxes():
    image, truths, boxes = scene()
    for found, truth in zip(masks_by_propagation(image, boxes, CONFIG), truths, strict=True):
        assert isinstance(found, BoxMask)
        mask = whole(found, truth.shape)
        assert (mask & truth).sum() / (mask | truth).sum() > 0.88
        assert found.score > 0.7


def test_a_box_does_not_depend_on_the_others():
    image, _, boxes = scene()
    together = masks_by_propagation(image, boxes, CONFIG)
    for place, found in enumerate(together):
        (alone,) = masks_by_propagation(image, boxes[place : place + 1], CONFIG)
        assert torch.equal(alone.mask_HW, found.mask_HW)
        assert alone.score == found.score
    assert masks_by_propagation(image, boxes[:0], CONFIG) == []


def test_where_there_is_nothing_there_is_no_mask():
    flat = np.full((60, 60, 3), 120, np.uint8)
    assert masks_by_propagation(flat, torch.tensor([[10.0, 10.0, 40.0, 40.0]]), CONFIG) == ["flat"]


def test_a_box_without_surroundings_has_no_mask():
    image, _, _ = scene()
    assert masks_by_propagation(image, torch.tensor([[0.0, 0.0, 120.0, 80.0]]), CONFIG) == ["bare"]


def test_the_smallest_box_is_no_mask():
    image, _, _ = scene()
    (found,) = masks_by_propagation(image, torch.tensor([[30.2, 30.2, 30.9, 30.9]]), CONFIG)
    assert isinstance(found, str)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_margin": 0.0}, r"window_margin must be positive, got 0.0"),
        ({"core": 1.5}, r"core must be in \(0, 1\], got 1.5"),
        ({"window_size": 4}, r"window_size must be at least 8, got 4"),
    ],
)
def test_impossible_numbers(change, message):
    with pytest.raises(ValueError, match=message):
        PropagationConfig(**change)
