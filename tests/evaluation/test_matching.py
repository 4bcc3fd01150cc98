import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.matching import NOBODY, THRESHOLDS_T, greedy, match_image
from tests.evaluation.scenes import coco100


def slow_greedy(iou, scores, is_crowd):
    """The rule in words, one threshold, detection and region at a time."""
    out = np.full((len(THRESHOLDS_T), len(scores)), NOBODY)
    order = sorted(range(len(scores)), key=lambda d: -scores[d])
    regions = [g for g in range(len(is_crowd)) if not is_crowd[g]] + [
        g for g in range(len(is_crowd)) if is_crowd[g]
    ]
    for t, threshold in enumerate(THRESHOLDS_T):
        taken = set()
        for d in order:
            best, chosen = min(threshold, 1 - 1e-10), NOBODY
            for g in regions:
                if g in taken and not is_crowd[g]:
                    continue
                if chosen != NOBODY and not is_crowd[chosen] and is_crowd[g]:
                    break
                if iou[d, g] >= best:
                    best, chosen = iou[d, g], g
            if chosen != NOBODY:
                out[t, d] = chosen
                taken.add(chosen)
    return out


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 8), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_equals_the_rule_in_words_also_with_ties_and_crowds(num_detections, num_regions, seed):
    generator = np.random.default_rng(seed)
    iou = generator.choice(
        [0.0, 0.3, 0.5, 0.5, 0.6, 0.75, 0.75, 0.9, 1.0], size=(num_detections, num_regions)
    )
    scores = generator.choice([0.1, 0.5, 0.9], size=num_detections)
    is_crowd = generator.random(num_regions) < 0.3
    np.testing.assert_array_equal(greedy(iou, scores, is_crowd), slow_greedy(iou, scores, is_crowd))


def test_the_better_score_chooses_first():
    iou = np.array([[0.9, 0.6], [0.95, 0.0]])
    free = np.zeros(2, dtype=bool)
    assert greedy(iou, np.array([0.9, 0.8]), free)[0].tolist() == [0, NOBODY]
    assert greedy(iou, np.array([0.8, 0.9]), free)[0].tolist() == [1, 0]


def test_matches_of_other_categories_do_not_exist():
    _, _, truths, detections, _ = coco100("box")
    for truth, found in zip(truths, detections, strict=True):
        match = match_image(truth, found, "box")
        taken = match.region[0] != NOBODY
        assert (truth.categories[match.region[0, taken]] == found.categories[taken]).all()
        assert match.is_right.shape == match.is_ignored.shape == (10, len(found.scores))
        assert not (match.is_right & match.is_ignored).any()


def test_boxes_are_matched_without_masks_and_masks_are_missed():
    _, _, truths, detections, _ = coco100("box")
    bare = dataclasses.replace(detections[0], masks=())
    np.testing.assert_array_equal(
        match_image(truths[0], bare, "box").region, match_image(truths[0], detections[0], "box").region
    )
    with pytest.raises(ValueError, match=r"boxes have no masks; give masks, or compare boxes only"):
        match_image(truths[0], bare, "mask")
