import numpy as np
import pytest
from pycocotools import mask as rle_c

from evaluation.masks import areas, box_iou, mask_iou, to_xywh


def encode(mask_NHW):
    return [
        {
            "size": list(mask.shape),
            "counts": rle_c.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode(),
        }
        for mask in mask_NHW
    ]


@pytest.fixture
def masks():
    return np.random.default_rng(3).random((7, 12, 9)) < 0.4


def test_mask_iou_is_intersection_over_union_pixel_by_pixel(masks):
    iou = mask_iou(encode(masks[:4]), encode(masks[4:]), np.array([False, False, True]))
    for d in range(4):
        for g in range(3):
            both = (masks[d] & masks[4 + g]).sum()
            either = masks[d].sum() if g == 2 else (masks[d] | masks[4 + g]).sum()
            assert iou[d, g] == pytest.approx(both / either, abs=1e-15)


def test_box_iou_by_hand():
    boxes = np.array([[0.0, 0.0, 10.0, 10.0]])
    regions = np.array([[0.0, 0.0, 10.0, 5.0], [5.0, 5.0, 15.0, 15.0], [20.0, 20.0, 30.0, 30.0]])
    np.testing.assert_allclose(box_iou(boxes, regions, np.zeros(3, bool)), [[0.5, 25 / 175, 0.0]])
    np.testing.assert_allclose(box_iou(boxes, regions, np.ones(3, bool)), [[0.5, 0.25, 0.0]])


def test_empty_input_gives_an_empty_matrix_of_the_right_shape(masks):
    none, some = np.zeros((0, 4)), np.ones((3, 4))
    assert box_iou(none, some, np.zeros(3, bool)).shape == (0, 3)
    assert box_iou(some, none, np.zeros(0, bool)).shape == (3, 0)
    assert mask_iou([], encode(masks), np.zeros(7, bool)).shape == (0, 7)
    assert mask_iou(encode(masks), [], np.zeros(0, bool)).shape == (7, 0)
    assert areas([]).shape == (0,)


def test_areas_of_more_than_255_masks():
    """pycocotools 2.0.11 raises OverflowError for a list of 256 masks under NumPy 2."""
    mask = encode(np.ones((1, 4, 5), bool))
    np.testing.assert_array_equal(areas(mask * 369), np.full(369, 20.0))


def test_corners_become_left_top_width_height():
    np.testing.assert_array_equal(to_xywh(np.array([[1.0, 2.0, 4.0, 8.0]])), [[1.0, 2.0, 3.0, 6.0]])
