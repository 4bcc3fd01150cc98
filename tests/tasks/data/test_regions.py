"""Every pixel with a class belongs to one region, and the regions give the label map back."""

import numpy as np
import pytest
from hypothesis import given, settings

from tasks.data.label_maps import PADDING, UNLABELLED
from tasks.data.regions import Regions, regions_of_labels, regions_of_masks, regions_of_segments
from tests.tasks.data.label_scenes import label_maps


def slow_parts(labels):
    """Flood each part from its first pixel in reading order, class by class."""
    numbers, values = np.zeros(labels.shape, dtype=int), []
    for value in sorted(set(labels.ravel().tolist()) - {PADDING, UNLABELLED}):
        for start in np.argwhere(labels == value).tolist():
            if numbers[tuple(start)]:
                continue
            values.append(value)
            waiting = [tuple(start)]
            while waiting:
                row, column = waiting.pop()
                inside = 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]
                if not inside or labels[row, column] != value or numbers[row, column]:
                    continue
                numbers[row, column] = len(values)
                waiting += [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return numbers, values


@settings(max_examples=60, deadline=None, derandomize=True)
@given(label_maps())
def test_parts_are_those_of_a_flood(labels):
    regions = regions_of_labels(labels)
    numbers, values = slow_parts(labels)
    assert regions.numbers.tolist() == numbers.tolist()
    assert list(regions.values) == values
    assert regions.labels().tolist() == labels.tolist()
    assert regions.areas().tolist() == [int((numbers == n + 1).sum()) for n in range(len(values))]
    for number, window in enumerate(regions.windows(), start=1):
        assert (numbers[window] == number).sum() == (numbers == number).sum()


def test_void_and_padding_have_no_region():
    labels = np.array([[0, 5, PADDING], [UNLABELLED, 5, 7]], dtype=np.uint8)
    regions = regions_of_labels(labels, void=[0])
    assert regions.numbers.tolist() == [[0, 1, 0], [0, 1, 2]]
    assert regions.values == (5, 7)


def test_segments_keep_touching_objects_apart():
    segments = np.array([[900, 900, 7, 0], [900, 31, 7, 16_000_000]], dtype=np.int64)
    regions = regions_of_segments(segments, {7: 1, 900: 3, 31: 3, 5: 9})
    assert regions.values == (1, 3, 3), "in the order given; 5 has no pixel, 16000000 is not named"
    assert regions.numbers.tolist() == [[2, 2, 1, 0], [2, 3, 1, 0]]
    assert regions_of_segments(segments, {}).values == ()


def square(*corners):
    mask = np.zeros((4, 5), dtype=bool)
    top, left, bottom, right = corners
    mask[top:bottom, left:right] = True
    return mask


NOTHING = square(0, 0, 0, 0)


def test_masks_and_the_rest():
    regions = regions_of_masks([square(0, 0, 2, 2), square(1, 1, 3, 4)], [4, 4], NOTHING, background=0)
    assert regions.values == (4, 4, 0)
    assert regions.numbers.tolist() == [
        [1, 1, 3, 3, 3],
        [1, 0, 2, 2, 3],
        [3, 2, 2, 2, 3],
        [3, 3, 3, 3, 3],
    ], "the pixel of both masks belongs to none"


def test_a_mask_that_is_covered_is_no_region():
    regions = regions_of_masks([square(0, 0, 1, 1), square(0, 0, 4, 5), NOTHING], [1, 2, 3], NOTHING)
    assert regions.values == (2,)
    assert (regions.numbers == 1).sum() == 19
    assert regions_of_masks([square(0, 0, 4, 5)], [2], NOTHING, background=0).values == (2,)
    assert regions_of_masks([], [], NOTHING, background=0).areas().tolist() == [20]


def test_crowds_have_no_region():
    regions = regions_of_masks([square(0, 0, 2, 2)], [4], square(1, 0, 2, 5), background=0)
    assert regions.numbers.tolist() == [[1, 1, 2, 2, 2], [0] * 5, [2] * 5, [2] * 5]


@pytest.mark.parametrize(
    ("masks", "values"), [([square(0, 0, 1, 1)], []), ([np.ones((2, 2), bool)], [1])], ids=["class", "shape"]
)
def test_masks_that_do_not_fit(masks, values):
    with pytest.raises(ValueError, match="masks must have one shape and each a class, got 1 masks, "):
        regions_of_masks(masks, values, NOTHING)


@pytest.mark.parametrize(
    ("numbers", "values", "message"),
    [
        ([[0, 2]], (1, 1), r"numbers must be 0 to 2, each at least once, got \[0, 2\]\."),
        ([[0, -1]], (), r"numbers must be 0 to 0, each at least once, got \[-1, 0\]\."),
        ([[0, 1]], (255,), r"the class of a region must be 0 to 253, got 255\."),
        ([0, 1], (1,), r"numbers must have shape \(height, width\), got \(2,\)\."),
    ],
)
def test_refusals(numbers, values, message):
    with pytest.raises(ValueError, match=message):
        Regions(numbers=np.array(numbers, dtype=np.int32), values=values)
