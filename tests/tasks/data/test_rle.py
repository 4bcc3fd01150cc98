"""Run lengths agree with pycocotools, and nothing malformed reaches its C code."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tasks.data.records import MaskRle
from tasks.data.rle import (
    check_polygon,
    decode_mask,
    encode_mask,
    from_polygons,
    from_runs,
    mask_area,
    mask_box,
    run_lengths,
)


def random_masks():
    generator = np.random.default_rng(0)
    for share in (0.0, 0.03, 0.5, 0.97, 1.0):
        for _ in range(40):
            yield generator.random(generator.integers(1, 40, size=2)) < share


def test_round_trip_area_and_box_agree_with_pycocotools():
    for mask in random_masks():
        rle = encode_mask(mask)
        reference = {"size": list(mask.shape), "counts": rle.counts.encode()}
        assert (decode_mask(rle) == mask).all()
        assert (coco_mask.decode(reference) == mask).all()
        assert mask_area(rle) == mask.sum() == coco_mask.area(reference)
        rows, columns = np.nonzero(mask)
        tight = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if mask.any() else None
        assert mask_box(rle) == tight


def test_a_large_mask_with_long_runs():
    mask = np.zeros((3000, 2000), dtype=np.bool_)
    mask[100:2900, 50:1900] = True
    rle = encode_mask(mask)
    assert mask_area(rle) == 2800 * 1850
    assert mask_box(rle) == (50.0, 100.0, 1900.0, 2900.0)
    assert (decode_mask(rle) == mask).all()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "counts must be ASCII text that is not empty"),
        ("1é2", "counts must be ASCII text"),
        ("13 2", "counts hold a character outside '0' to 'o'"),
        ("13~", "counts hold a character outside"),
        ("13\x00", "counts hold a character outside"),
        ("13P", "counts end in the middle of a number"),
        ("PPPPPPPPPPPP0", "counts hold a number of 13 characters"),
        ("0N8", "counts hold a negative run"),
        ("133", "counts fill 7 pixels, the mask of 3x2 has 6"),
        ("1", "counts fill 1 pixels"),
        ("oooooo?", "counts fill 17179869183 pixels"),
    ],
)
def test_malformed_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        decode_mask(MaskRle(height=2, width=3, counts=counts))


@pytest.mark.parametrize("size", [(10**6, 10**6), (0, 5), (-1, -6)])
def test_impossible_sizes_allocate_nothing(size):
    with pytest.raises(ValueError, match="mask size must be 1 to 268435456 pixels, got"):
        run_lengths(MaskRle(height=size[0], width=size[1], counts="6"))


@given(st.text(alphabet=[chr(code) for code in range(48, 112)], min_size=1, max_size=12))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_counts_of_any_letters_decode_exactly_or_not_at_all(counts):
    try:
        runs = run_lengths(MaskRle(height=4, width=5, counts=counts))
    except ValueError:
        return
    assert runs.sum() == 20
    assert (runs >= 0).all()


def test_uncompressed_runs():
    rle = from_runs([1, 3, 2], 2, 3)
    assert decode_mask(rle).tolist() == [[False, True, False], [True, True, False]]
    for runs, message in (
        ([1, 3], "fill 4 pixels"),
        ([-1, 7], "negative run"),
        ([], "or none"),
        ([10**19], "a run of 1"),
    ):
        with pytest.raises(ValueError, match=message):
            from_runs(runs, 2, 3)


def test_masks_must_be_bool_and_flat():
    with pytest.raises(TypeError, match=r"mask must be bool, got uint8\."):
        encode_mask(np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"mask must have shape \(height, width\), got \(1, 2, 2\)\."):
        encode_mask(np.zeros((1, 2, 2), dtype=np.bool_))


def test_polygons_unite():
    rle = from_polygons([[0, 0, 4, 0, 4, 4, 0, 4], [6, 6, 9, 6, 9, 9, 6, 9]], 10, 12)
    assert mask_area(rle) == 16 + 9
    assert mask_box(rle) == (0.0, 0.0, 9.0, 9.0)


BAD_POLYGONS = {
    "huge": [0, 0, 1e9, 0, 1e9, 1e9],
    "huge negative": [0, 0, -1e9, 0, 5, 5],
    "beyond floats of C": [0, 0, 1e300, 0, 5, 5],
    "nan": [0, 0, math.nan, 0, 5, 5],
    "infinite": [0, 0, math.inf, 0, 5, 5],
    "two points": [0, 0, 5, 5],
    "odd": [0, 0, 5, 0, 5, 5, 1],
    "empty": [],
    "text": [0, 0, "5", 0, 5, 5],
    "bool": [0, 0, True, 0, 5, 5],
    "nested": [0, 0, [5], 0, 5, 5],
    "none": [None] * 6,
}


@pytest.mark.parametrize("polygon", BAD_POLYGONS.values(), ids=BAD_POLYGONS.keys())
def test_bad_polygons_do_not_crash_the_process(polygon):
    with pytest.raises(ValueError, match="a polygon"):
        from_polygons([polygon], 20, 20)


def test_polygons_may_touch_the_border():
    check_polygon([-0.5, 0, 20.5, 0, 20, 20.9], 20, 20)
    with pytest.raises(ValueError, match=r"x 0 to 22, y 0 to 20: outside the image of 20x20\."):
        check_polygon([0, 0, 22, 0, 20, 20], 20, 20)
    with pytest.raises(ValueError, match="no polygon"):
        from_polygons([], 20, 20)
