import numpy as np
import pytest
import torch

from models.segmentation.box_carving import BoxMask, box_pixels, carve
from models.segmentation.decode import paste
from models.segmentation.windows import region_windows


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((2.0, 3.0, 5.0, 9.0), (2, 3, 5, 9)),
        ((2.4, 3.6, 5.4, 9.6), (2, 4, 5, 10)),  # pixel 3 has its centre at 3.5, before the box
        ((2.1, 3.1, 2.4, 3.2), (2, 3, 3, 4)),  # no centre inside: the pixel that holds the box's centre
        ((19.9, 9.9, 20.0, 10.0), (19, 9, 20, 10)),
        ((0.0, 0.0, 20.0, 10.0), (0, 0, 20, 10)),
    ],
)
def test_pixels_of_a_box(box, expected):
    assert box_pixels(box, (10, 20)) == expected


def test_no_pixel_reaches_a_whole_pixel_beyond_its_box():
    generator = np.random.default_rng(0)
    for _ in range(500):
        left, top = generator.uniform(0, 30, 2)
        right, bottom = left + generator.uniform(0.01, 10), top + generator.uniform(0.01, 10)
        x0, y0, x1, y1 = box_pixels((left, top, right, bottom), (40, 40))
        assert x0 < x1
        assert y0 < y1
        assert x0 > left - 1
        assert y0 > top - 1
        assert x1 < right + 1
        assert y1 < bottom + 1


def test_score_by_hand():
    """A box of 4x4 pixels in a window of 8x8 samples: one sample a pixel."""
    label = torch.zeros(8, 8)
    label[2:6, 3:5] = 1.0  # all rows of the box, two of its four columns
    probability = torch.full((8, 8), 0.8)
    found = carve(label, probability, (10.0, 20.0, 14.0, 24.0), margin=0.5, threshold=0.5, size=(40, 40))
    assert isinstance(found, BoxMask)
    assert (found.left, found.top) == (10, 20)
    assert found.mask_HW.int().tolist() == [[0, 1, 1, 0]] * 4
    assert found.score == pytest.approx(0.8 * 0.5 * 1.0)


@pytest.mark.parametrize(
    ("rows", "columns", "reason"),
    [
        (slice(0, 0), slice(0, 0), "empty"),
        (slice(0, 8), slice(0, 8), "filled"),
        (slice(0, 2), slice(0, 8), "empty"),  # outside of the box alone
        (slice(2, 4), slice(2, 5), "narrow"),  # 6 of 16 pixels
    ],
)
def test_reasons(rows, columns, reason):
    label = torch.zeros(8, 8)
    label[rows, columns] = 1.0
    assert carve(label, label, (10.0, 20.0, 14.0, 24.0), margin=0.5, threshold=0.5, size=(40, 40)) == reason


def test_the_mask_is_what_prediction_would_draw_inside_the_box():
    torch.manual_seed(0)
    probability = torch.rand(5, 12, 12)
    boxes = torch.tensor(
        [[3, 4, 13, 20], [0, 0, 7.3, 8.8], [20.2, 9.7, 33, 31], [1, 1, 39, 29], [30, 2, 40, 30]]
    )
    windows = region_windows(boxes, 0.3)
    drawn = paste(probability, windows, 32, 40, 0.45)
    for field, box, expected in zip(probability, boxes.tolist(), drawn, strict=True):
        found = carve(field, field, tuple(box), margin=0.3, threshold=0.45, size=(32, 40))
        assert isinstance(found, BoxMask)
        left, top, right, bottom = box_pixels(tuple(box), (32, 40))
        assert torch.equal(found.mask_HW, expected[top:bottom, left:right])
