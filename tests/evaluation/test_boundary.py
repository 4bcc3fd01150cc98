import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle_c
from scipy import ndimage

from evaluation.boundary import boundaries, boundary, boundary_iou, boundary_table, boundary_width
from evaluation.masks import areas


def square(side, size=100, hole=0, start=40):
    """A square in the middle of an image, perhaps with a square hole in its own middle."""
    mask = np.zeros((size, size), dtype=bool)
    mask[start : start + side, start : start + side] = True
    inner = start + (side - hole) // 2
    mask[inner : inner + hole, inner : inner + hole] = False
    return mask


def rle(mask):
    coded = rle_c.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": coded["counts"].decode()}


def test_width_is_two_percent_of_the_diagonal():
    assert boundary_width(480, 640) == 16  # diagonal 800
    assert boundary_width(100, 100) == 3  # 2.83
    assert boundary_width(10, 10) == 1  # 0.28, at least 1
    assert boundary_width(480, 640, ratio=0.005) == 4


def test_by_hand():
    # Width 3. Squares of side 20 and 18 about one centre: rings 400 - 196 = 204 and 324 - 144 = 180, common
    # 324 - 196 = 128: 128 / 256; masks 324 / 400.
    table = boundary_table([7], [rle(square(18, start=41))], [rle(square(20))])
    assert table.to_dict("records") == [
        {"pair_id": 7, "distance": 3, "mask_iou": 0.81, "boundary_iou": 0.5, "smaller_iou": 0.5}
    ]


def test_a_ring_as_wide_as_the_boundary_needs_the_mask_iou():
    row = boundary_table([1], [rle(square(20, hole=14))], [rle(square(20))]).iloc[0]
    assert row["boundary_iou"] == 1.0
    assert row["smaller_iou"] == row["mask_iou"] == 204 / 400


def test_the_edge_of_the_image_is_outside():
    full = np.ones((100, 100), dtype=bool)
    assert boundary(full, distance=3).sum() == 10000 - 94**2
    assert areas(boundaries([rle(full)])).tolist() == [10000 - 94**2]


def test_small_large_and_missing_masks():
    nothing, dot = np.zeros((100, 100), dtype=bool), square(1)
    assert not boundary(nothing, distance=3).any()
    assert boundary(dot, distance=3).sum() == 1
    table = boundary_table([1, 2, 3], [rle(nothing), None, rle(dot)], [rle(square(20)), rle(dot), rle(dot)])
    assert table["smaller_iou"].tolist() == [0.0, 0.0, 1.0]
    assert table["mask_iou"].tolist() == [0.0, 0.0, 1.0]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_equals_repeated_erosion_by_a_square_of_three_pixels(seed, distance):
    generator = np.random.default_rng(seed)
    size = generator.integers(1, 25, size=2)
    noise = ndimage.uniform_filter(generator.random(size), 3)
    mask = noise > generator.choice([0.3, 0.45, 0.5])
    eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=0)
    np.testing.assert_array_equal(boundary(mask, distance=distance), mask & ~eroded)


def test_matrix_of_pairs_is_symmetric_and_knows_crowds():
    masks = [rle(square(20)), rle(square(18, start=41)), rle(square(20, hole=14))]
    iou = boundary_iou(masks, masks, np.zeros(3, dtype=bool))
    np.testing.assert_array_equal(iou, iou.T)
    np.testing.assert_array_equal(np.diagonal(iou), 1.0)
    # With a crowd, the share of the detection's ring: 128 of 180.
    assert boundary_iou(masks[1:2], masks[:1], np.ones(1, dtype=bool))[0, 0] == pytest.approx(128 / 180)
    assert boundary_iou([], masks, np.zeros(3, dtype=bool)).shape == (0, 3)


def test_refuses_what_does_not_fit():
    one, other = rle(square(5)), rle(square(5, size=90))
    with pytest.raises(
        ValueError, match=r"masks must have the size of one image, got \[\(90, 90\), \(100, 100\)\]"
    ):
        boundary_iou([one], [other], np.zeros(1, dtype=bool))
    with pytest.raises(ValueError, match=r"masks must have the size of one image"):
        boundary_table([1], [one], [other])
    with pytest.raises(ValueError, match=r"pair 4: the true mask is empty and has no boundary"):
        boundary_table([4], [one], [rle(np.zeros((100, 100), dtype=bool))])
    with pytest.raises(ValueError, match=r"pair_ids repeat"):
        boundary_table([4, 4], [one, one], [one, one])
    with pytest.raises(ValueError, match=r"2 ids, 1 predicted and 2 true masks; one of each is expected"):
        boundary_table([4, 5], [one], [one, one])
    with pytest.raises(ValueError, match=r"no pair to score"):
        boundary_table([], [], [])
    with pytest.raises(TypeError, match=r"mask_HW must be bool in two dimensions, got uint8 \(2, 2\)"):
        boundary(np.zeros((2, 2), dtype=np.uint8), distance=1)
    with pytest.raises(ValueError, match=r"distance must be at least 1 pixel, got 0"):
        boundary(square(5), distance=0)
    for ratio in (0.0, -1.0, float("nan"), 1.5):
        with pytest.raises(ValueError, match=r"ratio must lie in \(0, 1\], got "):
            boundary_width(10, 10, ratio=ratio)
    with pytest.raises(ValueError, match=r"an image must have at least one pixel, got 0x10"):
        boundary_width(0, 10)
