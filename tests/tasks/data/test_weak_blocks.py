"""Blocks label the share that was asked for, to the pixel, and leave no large region out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.label_maps import UNLABELLED
from tasks.data.regions import regions_of_labels
from tasks.data.weak_blocks import BlockPolicy, place_blocks
from tests.tasks.data.label_scenes import label_maps


@settings(max_examples=80, deadline=None, derandomize=True)
@given(label_maps(), st.integers(0, 2**31), st.sampled_from([0.1, 0.2, 0.5, 1.0]), st.sampled_from([10, 64]))
def test_blocks_tell_the_truth_and_reach_their_share(labels, seed, share, smallest):
    regions = regions_of_labels(labels)
    policy = BlockPolicy(share=share, smallest_region=smallest)
    blocks = place_blocks(regions, policy, np.random.default_rng(seed))
    assert blocks.dtype == np.uint8
    marked = blocks != UNLABELLED
    assert (blocks[marked] == labels[marked]).all()
    assert marked.sum() == int(share * (labels != UNLABELLED).sum())
    for number, area in enumerate(regions.areas(), start=1):
        if area >= smallest:
            assert (marked & (regions.numbers == number)).any()
    again = place_blocks(regions, policy, np.random.default_rng(seed))
    assert blocks.tobytes() == again.tobytes()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_marks_are_blocks(share):
    """Nearly every labelled pixel is part of a labelled square of 3x3."""
    labels = np.repeat(np.arange(4, dtype=np.uint8), 40)[None].repeat(120, axis=0)
    marked = place_blocks(regions_of_labels(labels), BlockPolicy(share=share), np.random.default_rng(1)) < 4
    windows = np.lib.stride_tricks.sliding_window_view(marked, (3, 3)).all(axis=(2, 3))
    covered = np.zeros_like(marked)
    for row, column in np.argwhere(windows):
        covered[row : row + 3, column : column + 3] = True
    assert (covered & marked).sum() > 0.95 * marked.sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.0}, "share must be more than 0 and at most 1, got 0.0."),
        ({"share": 1.5}, "share must be more than 0 and at most 1, got 1.5."),
        ({"smallest_side": 0}, "0 < smallest_side <= largest_side <= 1 must hold, got 0 and 0.125."),
        ({"largest_side": 2}, "0 < smallest_side <= largest_side <= 1 must hold, got 0.03125 and 2."),
        (
            {"share": 0.01},
            "less than one at a share of 0.01: smallest_region must be at least 100.",
        ),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        BlockPolicy(**changes)
