import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.definition import AREAS, CAPS, DETECTION, IOU_PERCENT, RECALL_POINTS
from evaluation.matching import THRESHOLDS_T


def test_any_change_of_the_definition_changes_its_hash():
    changed = [
        dataclasses.replace(DETECTION, name="coco-instances/2"),
        dataclasses.replace(DETECTION, iou_percent=IOU_PERCENT[:-1]),
        dataclasses.replace(DETECTION, caps=(1, 10, 300)),
        dataclasses.replace(DETECTION, recall_points=11),
        dataclasses.replace(DETECTION, areas=DETECTION.areas[:-1]),
        dataclasses.replace(DETECTION, conventions=DETECTION.conventions[1:]),
        dataclasses.replace(DETECTION, metrics=DETECTION.metrics[1:]),
    ]
    assert len({DETECTION.sha256, *(item.sha256 for item in changed)}) == len(changed) + 1


def test_definition_says_what_the_code_does():
    assert DETECTION.iou_percent == tuple((THRESHOLDS_T * 100).round().astype(int).tolist())
    assert (DETECTION.caps, DETECTION.recall_points) == (CAPS, RECALL_POINTS)
    assert [name for name, _, _ in DETECTION.areas] == list(AREAS)
    assert len({spec.name for spec in DETECTION.metrics}) == len(DETECTION.metrics) == 26


def test_only_the_number_of_detections_is_better_when_lower():
    assert [spec.name for spec in DETECTION.metrics if not spec.higher_is_better] == ["detections_per_image"]


def test_unknown_metric_is_named():
    with pytest.raises(ValueError, match=r"^unknown metric 'mask\.ap51'; the definition has \['box\.ap', "):
        DETECTION.spec("mask.ap51")


@given(st.floats())
def test_a_fraction_is_accepted_only_from_0_to_1(value):
    assert DETECTION.spec("mask.ap50").accepts(value) == (value >= 0 and value <= 1)
    assert not DETECTION.spec("detections_per_image").accepts(float("inf"))
