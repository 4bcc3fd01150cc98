import numpy as np
import pytest

from benchmarks.pseudo_labels import Truth, compare, interval, iou, read_truths
from tasks.data.rle import encode_mask
from tests.tasks.operations.labelling import shapes


def test_interval_by_hand():
    """Two images with one and three boxes; a resample takes one image twice, the other not at all."""
    weight = np.array([[2.0, 0.0], [0.0, 2.0]])
    value, low, high = interval([0, 1, 1, 1], [0.9, 0.1, 0.2, 0.3], weight)
    assert value == pytest.approx(0.375)
    assert low == pytest.approx(0.2 + 0.025 * 0.7, abs=1e-4)
    assert high == pytest.approx(0.2 + 0.975 * 0.7, abs=1e-4)


def test_boxes_without_a_mask_count_as_boxes():
    truth = np.zeros((4, 4), np.bool_)
    truth[:2, :2] = True
    half = truth.copy()
    half[0] = False
    truths = {number: Truth(image=number - 1, mask=truth, filled_iou=0.25) for number in (1, 2, 3)}
    rows = {
        1: {"segmentation": encode_mask(truth).to_json(), "score": 0.9},
        2: {"segmentation": encode_mask(half).to_json(), "score": 0.3},
        3: {"reason": "flat"},
    }
    found = compare(truths, rows, np.ones((5, 3)))
    assert found["masks"] == 2
    assert found["iou"][0] == 0.75
    assert found["iou_of_filled_boxes"][0] == 0.25
    assert found["iou_minus_filled"][0] == 0.5
    assert found["iou_with_boxes"][0] == pytest.approx(1.75 / 3, abs=1e-4)
    assert found["score_iou_rank_correlation"] == 1.0


def test_truths_hold_the_filled_box(tmp_path):
    truths, images = read_truths(shapes(tmp_path / "world", images=2, masks=True), "train")
    assert images == 2
    assert {truth.image for truth in truths.values()} == {0, 1}
    for truth in truths.values():
        rows, columns = truth.mask.any(axis=1).nonzero()[0], truth.mask.any(axis=0).nonzero()[0]
        box = np.zeros_like(truth.mask)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert truth.filled_iou == pytest.approx(iou(box, truth.mask))
