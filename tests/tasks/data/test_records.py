"""Records refuse what no later code should meet, and survive JSON unchanged."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord, MaskRle, RegionRecord, check_box

MASK = MaskRle(height=2, width=3, counts="132")
REGION = RegionRecord(region_id=7, category="cell", box_xyxy=(0.0, 0.5, 2.0, 2.0), mask=MASK, is_crowd=True)
DETECTION = DetectionRecord(category="cell", score=0.25, box_xyxy=(0.0, 0.0, 1.0, 1.0), mask=MASK)


@pytest.mark.parametrize(
    "record",
    [
        REGION,
        RegionRecord(region_id=1, category="cell", box_xyxy=(0.0, 0.0, 1.0, 1.0)),
        DETECTION,
        ImageRecord(image_id=1, file="train/a.jpg", height=2, width=3, sha256="00", regions=(REGION,)),
        ImagePrediction(image_id=1, height=2, width=3, detections=(DETECTION,)),
    ],
)
def test_json_round_trip(record):
    assert type(record).from_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record


def test_a_region_without_mask_has_no_key_for_it():
    region = RegionRecord(region_id=1, category="cell", box_xyxy=(0.0, 0.0, 1.0, 1.0))
    assert "mask" not in region.to_json()


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_boxes_must_be_finite(place, bad):
    box = [0.0, 0.0, 1.0, 1.0]
    box[place] = bad
    with pytest.raises(ValueError, match=r"box_xyxy must be finite with left < right and top < bottom, got"):
        check_box(tuple(box))


@given(st.tuples(*[st.floats()] * 4))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_what_passes_is_a_box(box):
    try:
        check_box(box)
    except ValueError:
        return
    left, top, right, bottom = box
    assert all(map(math.isfinite, box))
    assert left >= 0
    assert top >= 0
    assert right > left
    assert bottom > top


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.01, 1.0001])
def test_scores_are_fractions(score):
    with pytest.raises(ValueError, match=r"score must be finite and in \[0, 1\], got"):
        DetectionRecord(category="cell", score=score, box_xyxy=(0.0, 0.0, 1.0, 1.0), mask=MASK)


def test_ids_sizes_and_paths():
    with pytest.raises(ValueError, match=r"region_id must be at least 1, got 0\."):
        RegionRecord(region_id=0, category="cell", box_xyxy=(0.0, 0.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"image size must be positive, got 3x0\."):
        ImageRecord(image_id=1, file="a.jpg", height=0, width=3, sha256="")
    for file in ("/etc/hostname", "train/../../x.jpg"):
        with pytest.raises(ValueError, match="file must stay inside the dataset"):
            ImageRecord(image_id=1, file=file, height=1, width=1, sha256="")
