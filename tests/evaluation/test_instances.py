import dataclasses

import numpy as np
import pytest

from evaluation.instances import ImageDetections, ImageTruth, check_masks, check_pairs, check_rising

FULL = {"size": [4, 5], "counts": "0d0"}


def found(**changes):
    values = {
        "image_id": 7,
        "height": 4,
        "width": 5,
        "categories": np.array([0, 0]),
        "boxes_xyxy": np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]]),
        "masks": (FULL, FULL),
        "scores": np.array([0.5, 0.25]),
    }
    return ImageDetections(**(values | changes))


def truth(**changes):
    values = {
        "image_id": 7,
        "height": 4,
        "width": 5,
        "region_ids": np.array([1, 2]),
        "categories": np.array([0, 0]),
        "boxes_xyxy": np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]]),
        "masks": (FULL, FULL),
        "is_crowd": np.array([False, False]),
    }
    return ImageTruth(**(values | changes))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 3.5])
def test_boxes_that_are_no_boxes_are_refused_with_image_and_number(bad):
    boxes = np.array([[0.0, 0.0, 2.0, 2.0], [bad, 1.0, 3.0, 3.0]])
    message = (
        r"^image 7 of the detections, number 1: box_xyxy must be finite with left < right and top < bottom"
    )
    with pytest.raises(ValueError, match=message):
        found(boxes_xyxy=boxes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
def test_scores_that_are_no_confidence_are_refused(bad):
    message = rf"^image 7 of the detections, number 0: score must be finite and in \[0, 1\], got {bad}\.$"
    with pytest.raises(ValueError, match=message):
        found(scores=np.array([bad, 0.5]))


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"number 1: mask size must be \[4, 5\], got \[5, 4\]\.$"):
        found(masks=(FULL, {"size": [5, 4], "counts": "0d0"}))


def test_columns_of_another_type_or_length_are_refused():
    with pytest.raises(TypeError, match=r"scores must be float64, got float32\.$"):
        found(scores=np.array([0.5, 0.25], dtype=np.float32))
    with pytest.raises(ValueError, match=r"boxes_xyxy must have shape \(2, 4\), got \(1, 4\)\.$"):
        found(boxes_xyxy=np.array([[0.0, 0.0, 2.0, 2.0]]))
    with pytest.raises(ValueError, match=r"category must be at least 0, got -1\.$"):
        found(categories=np.array([0, -1]))


def test_repeated_regions_are_refused():
    with pytest.raises(ValueError, match=r"^image 7 of the regions: region_ids repeat\.$"):
        truth(region_ids=np.array([3, 3]))


def test_pairs_must_be_of_the_same_images_in_rising_order():
    check_pairs([truth()], [found()], num_categories=1)
    with pytest.raises(ValueError, match=r"^no image to score; a metric over nothing is refused\.$"):
        check_pairs([], [], num_categories=1)
    with pytest.raises(ValueError, match=r"^2 images have regions, 1 have detections\.$"):
        check_pairs([truth(), truth(image_id=8)], [found()], num_categories=1)
    with pytest.raises(ValueError, match=r"^detections of image 9 \(5x4\) stand where image 7 \(5x4\) is"):
        check_pairs([truth()], [found(image_id=9)], num_categories=1)
    with pytest.raises(ValueError, match=r"^image ids must rise, got 7 after 7\.$"):
        check_pairs([truth(), truth()], [found(), found()], num_categories=1)
    with pytest.raises(ValueError, match=r"^image 7 of the detections: category 1 is not one of 1\.$"):
        check_pairs([truth()], [found(categories=np.array([0, 1]))], num_categories=1)


def test_inputs_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        found().image_id = 8


def test_detections_may_have_no_masks_at_all_but_not_some():
    bare = found(masks=())
    assert len(bare.scores) == 2
    message = (
        r"^image 7 of the detections: 2 boxes have no masks; give masks, or compare boxes only: "
        r"kinds=\(\"box\",\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        check_masks(bare)
    check_masks(found())
    with pytest.raises(ValueError, match=r"boxes_xyxy must have shape \(1, 4\), got \(2, 4\)\.$"):
        found(masks=(FULL,))
    with pytest.raises(ValueError, match=r"^image 7 of the regions: boxes_xyxy must have shape \(0, 4\)"):
        truth(masks=())
    with pytest.raises(ValueError, match=r"scores must have shape \(2,\), got \(1, 2\)\.$"):
        found(masks=(), scores=np.array([[0.5, 0.25]]))


def test_sizes_may_be_tuples():
    assert found(masks=(FULL, {"size": (4, 5), "counts": "0d0"}))


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "no image to score"), ([1, 3, 3], "got 3 after 3"), ([2, 1], "image ids must rise, got 1 after 2")],
)
def test_images_stand_in_order(ids, message):
    with pytest.raises(ValueError, match=message):
        check_rising(ids)
    check_rising([-1, 0, 7])
