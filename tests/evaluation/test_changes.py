import dataclasses

import pytest

from evaluation.changes import agreement, image_changes
from evaluation.tables import build_tables
from tests.evaluation.scenes import coco100, simulate
from tests.evaluation.test_confusion import A, B, C, found, image


def tables(boxes, *, regions=(A, B, C)):
    return build_tables(
        [image(list(regions), [0] * len(regions))],
        [found(boxes, [0] * len(boxes), [0.9] * len(boxes))],
        categories=("cat",),
    )


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_by_hand(kind):
    """The candidate finds A and B, the other B alone: F1 is 4/5 and 1/2."""
    mine, theirs = tables([A, B]), tables([B])
    found_by = agreement(mine, theirs, kind)
    assert dataclasses.asdict(found_by) == {"both": 1, "only_candidate": 1, "only_other": 0, "neither": 1}
    [change] = image_changes(mine, theirs, kind)
    assert (change.image_id, change.candidate, change.other) == (
        1,
        pytest.approx(4 / 5),
        pytest.approx(1 / 2),
    )
    assert change.difference == pytest.approx(0.3)


def test_the_largest_change_comes_first_whichever_way_it_goes():
    mine, theirs = simulate(1), simulate(2)
    changes = image_changes(mine, theirs, "mask")
    sizes = [abs(change.difference) for change in changes]
    assert sizes == sorted(sizes, reverse=True)
    assert {change.difference > 0 for change in changes} == {True, False}
    assert sorted(change.image_id for change in changes) == mine.per_image["image_id"].tolist()
    back = image_changes(theirs, mine, "mask")
    assert [change.image_id for change in back] == [change.image_id for change in changes]


def test_equal_changes_rise_by_image():
    mine = simulate(1)
    assert [change.image_id for change in image_changes(mine, mine, "box")] == list(range(1, 40))


def test_agreement_adds_up_to_the_regions():
    _, _, truths, detections, names = coco100("mask")
    mine = build_tables(truths, detections, categories=names)
    found_by = agreement(mine, mine, "mask")
    assert found_by.only_candidate == found_by.only_other == 0
    assert found_by.both == mine.per_image["mask_tp50"].sum()
    assert found_by.both + found_by.neither == mine.per_image["num_regions"].sum()


def test_other_images_are_an_error():
    mine, theirs = simulate(1), simulate(1, images=38)
    for function in (image_changes, agreement):
        with pytest.raises(ValueError, match=r"different images: 39 and 38, not in both: \[39\]"):
            function(mine, theirs, "mask")


def test_other_regions_are_an_error():
    with pytest.raises(ValueError, match="were evaluated on different regions"):
        agreement(tables([A]), tables([A], regions=(A,)), "mask")
