import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evaluation.panoptic import (
    PANOPTIC,
    PanopticCategory,
    PanopticMap,
    Segment,
    evaluate_panoptic,
    match_panoptic,
)

FOLDER = Path(__file__).resolve().parents[1] / "data" / "panopticapi"
THING, STUFF = PanopticCategory(name="cell", is_thing=True), PanopticCategory(name="glass", is_thing=False)


@cache
def sample():
    """Two COCO images: categories by id, and for each image its id, map and segments of the document."""
    document = json.loads((FOLDER / "panoptic_examples.json").read_text())
    images = []
    for item in document["annotations"]:
        pixels = np.array(Image.open(FOLDER / item["file_name"]).convert("RGB"), dtype=np.int64)
        images.append((item["image_id"], pixels @ [1, 256, 65536], item["segments_info"]))
    return {item["id"]: item for item in document["categories"]}, images


def spoiled(ids, segments, category_ids, shift):
    """Make a prediction of the truth: shift it, then lose, rename or halve four of five segments."""
    ids, out = np.roll(ids, shift, (0, 1)), []
    middle = ids.shape[1] // 2
    for place, segment in enumerate(sorted(segments, key=lambda segment: segment["id"])):
        category, inside = segment["category_id"], ids == segment["id"]
        if shift != (0, 0) and place % 5 == 1:
            ids[inside] = 0
            continue
        if shift != (0, 0) and place % 5 == 2:
            category = category_ids[(category_ids.index(category) + 1) % len(category_ids)]
        if shift != (0, 0) and place % 5 == 3 and inside[:, :middle].any() and inside[:, middle:].any():
            inside[:, :middle] = False
            ids[inside] = 1000 + place
            out.append({"id": 1000 + place, "category_id": category})
        out.append({"id": segment["id"], "category_id": category})
    return ids, out


def panoptic_map(image_id, ids, segments, category_ids):
    rows = (
        Segment(
            id=item["id"],
            category=category_ids.index(item["category_id"]),
            is_crowd=bool(item.get("iscrowd", 0)),
        )
        for item in segments
    )
    return PanopticMap(image_id=image_id, ids_HW=ids, segments=tuple(rows))


def evaluate_sample(shift):
    categories, images = sample()
    ids = sorted(categories)
    counts = []
    for image_id, truth, segments in images:
        wrong, found = spoiled(truth, segments, ids, shift)
        counts.append(
            match_panoptic(
                panoptic_map(image_id, truth, segments, ids),
                panoptic_map(image_id, wrong, found, ids),
                num_categories=len(ids),
            )
        )
    names = [
        PanopticCategory(name=str(number), is_thing=bool(categories[number]["isthing"])) for number in ids
    ]
    return evaluate_panoptic(counts, categories=names)


@pytest.mark.parametrize("place", range(4))
def test_equals_the_published_tool_class_by_class(place):
    expected = json.loads((FOLDER / "official.json").read_text())[place]
    result = evaluate_sample(tuple(expected["shift"]))
    table = result.per_class.set_index("class")
    assert set(table.index) == set(expected["classes"])
    for name, sums in expected["classes"].items():
        assert [int(table.loc[name, column]) for column in ("tp", "fp", "fn")] == sums[:3]
        assert table.loc[name, "iou_sum"] == pytest.approx(sums[3], abs=1e-12)
    for metric in result.values.metrics:
        assert metric.value == pytest.approx(expected["averages"][metric.name], abs=1e-12)
    assert len(result.values.metrics) == 9
    assert not result.values.undefined
    assert len(result.undefined_classes) == 133 - len(table)


def small(ids, *segments, image_id=1):
    """A map of one row, or several; segments as (id, category) or (id, category, is_crowd)."""
    rows = tuple(Segment(id=s[0], category=s[1], is_crowd=len(s) > 2 and s[2]) for s in segments)
    return PanopticMap(image_id=image_id, ids_HW=np.atleast_2d(np.array(ids)), segments=rows)


def score(truth, predicted, categories=(THING, STUFF)):
    counts = match_panoptic(truth, predicted, num_categories=len(categories))
    return evaluate_panoptic([counts], categories=categories)


def test_by_hand():
    # cell: true {0..5}, found {0..3}: IoU 4/6. glass: true {6..9}, found {4..9}: IoU 4/6. One false cell of
    # pixels 10, 11, one true glass missed there: cell pq = (2/3)/(1 + 1/2) = 4/9, glass the same.
    truth = small([1] * 6 + [2] * 4 + [3] * 2, (1, 0), (2, 1), (3, 1))
    found = small([7] * 4 + [8] * 6 + [9] * 2, (7, 0), (8, 1), (9, 0))
    result = score(truth, found)
    assert result.values["panoptic.pq"] == pytest.approx(4 / 9)
    assert result.values["panoptic.sq_things"] == pytest.approx(2 / 3)
    assert result.values["panoptic.rq_stuff"] == pytest.approx(2 / 3)
    assert result.per_class["tp"].tolist() == [1, 1]
    assert result.per_class[["fp", "fn"]].to_numpy().tolist() == [[1, 0], [0, 1]]
    assert result.per_image[["tp", "fp", "fn"]].to_numpy().tolist() == [[2, 1, 1]]
    assert result.per_image["pq"].tolist() == [pytest.approx((4 / 3) / 3)]
    assert result.counts["class"].tolist() == ["cell", "glass"]


def test_half_is_no_match_and_void_is_not_part_of_the_union():
    # True {0, 1}, found {0..3}: IoU 1/2 does not match; if {2, 3} are void, the union is {0, 1}: IoU 1.
    found = small([5, 5, 5, 5], (5, 0))
    plain = score(small([1, 1, 2, 2], (1, 0), (2, 1)), found)
    assert plain.per_class[["tp", "fp", "fn"]].to_numpy().tolist() == [[0, 1, 1], [0, 0, 1]]
    assert plain.values["panoptic.sq"] == 0.0
    void = score(small([1, 1, 0, 0], (1, 0)), found)
    assert void.values["panoptic.pq"] == 1.0


@pytest.mark.parametrize(
    ("ids", "segments", "false_alarms"),
    [
        ([0, 0, 0, 1], [(1, 1)], 0),  # 3 of 4 pixels void
        ([0, 0, 1, 1], [(1, 1)], 1),  # a half is not more than a half
        ([2, 2, 2, 1], [(1, 1), (2, 0, True)], 0),  # a crowd of the class
        ([2, 2, 2, 1], [(1, 1), (2, 1, True)], 1),  # a crowd of another class
        ([2, 0, 3, 1], [(1, 1), (2, 0, True), (3, 0, True)], 0),  # void and two crowds add up
    ],
)
def test_what_lies_on_void_or_a_crowd_is_no_false_alarm(ids, segments, false_alarms):
    result = score(small(ids, *segments), small([5, 5, 5, 5], (5, 0)))
    assert int(result.per_image["fp"].sum()) == false_alarms
    assert int(result.per_image["fn"].sum()) == 1 - (segments[0][1] == 0)


def test_a_crowd_is_neither_matched_nor_missed():
    result = score(small([1, 1], (1, 0, True)), small([5, 5], (5, 0)))
    assert result.values.undefined == {
        spec.name: f"none of the {group} has a segment"
        for spec in PANOPTIC.metrics
        for end, group in (("things", "classes of things"), ("stuff", "classes of stuff"), ("q", "classes"))
        if spec.name.endswith(end)
    }
    assert result.per_image["pq"].isna().all()
    assert not len(result.counts)


def test_no_prediction_misses_everything():
    truth = small([1, 1, 2, 2], (1, 0), (2, 1))
    nothing, empty = score(truth, None), score(truth, small([0, 0, 0, 0]))
    for result in (nothing, empty):
        assert {metric.value for metric in result.values.metrics} == {0.0}
        assert result.per_image[["tp", "fp", "fn"]].to_numpy().tolist() == [[0, 0, 2]]


def test_a_class_that_is_only_predicted_scores_zero():
    result = score(small([1, 1, 2, 2], (1, 1), (2, 1)), small([1, 1, 5, 5], (1, 1), (5, 0)))
    assert result.per_class["pq"].tolist() == [0.0, pytest.approx(2 / 3)]
    assert result.values["panoptic.pq"] == pytest.approx(1 / 3)


def slow_sums(truth, found, num_categories):
    """The rules in words, pair by pair, on sets of pixels."""

    def pixels(item):
        return {s.id: set(np.flatnonzero(item.ids_HW == s.id).tolist()) for s in item.segments}

    true, said, void = pixels(truth), pixels(found), set(np.flatnonzero(truth.ids_HW == 0).tolist())
    sums = np.zeros((num_categories, 4))
    matched = set()
    for t in truth.segments:
        hits = [
            (p.id, len(true[t.id] & said[p.id]) / len((true[t.id] | said[p.id]) - (void & said[p.id])))
            for p in found.segments
            if p.category == t.category and not t.is_crowd
        ]
        hits = [(name, iou) for name, iou in hits if iou > 0.5]
        if hits:
            sums[t.category] += [1, 0, 0, hits[0][1]]
            matched.add(hits[0][0])
        elif not t.is_crowd:
            sums[t.category, 2] += 1
    for p in found.segments:
        excused = void.union(*(true[t.id] for t in truth.segments if t.is_crowd and t.category == p.category))
        if p.id not in matched and len(said[p.id] & excused) / len(said[p.id]) <= 0.5:
            sums[p.category, 1] += 1
    return sums


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_rules_in_words(seed):
    generator = np.random.default_rng(seed)

    def draw(ids, crowds):
        return small(
            ids,
            *(
                (int(i), int(i) % 2 if crowds else int(generator.integers(2)), bool(crowds and i == 3))
                for i in np.unique(ids)
                if i
            ),
        )

    true = np.repeat(generator.integers(0, 5, size=8), 3)
    said = np.where(generator.random(24) < 0.75, true, generator.integers(0, 5, size=24))
    truth, found = draw(true, True), draw(said, False)
    counts = match_panoptic(truth, found, num_categories=2)
    fast = np.stack([counts.tp_K, counts.fp_K, counts.fn_K, counts.iou_sum_K], axis=1)
    np.testing.assert_allclose(fast, slow_sums(truth, found, 2), rtol=0, atol=1e-12)


def test_sums_of_the_tables_give_the_numbers():
    result = evaluate_sample((4, 6))
    sums = result.counts.groupby("class")[["tp", "fp", "fn", "iou_sum"]].sum()
    pq = sums["iou_sum"] / (sums["tp"] + (sums["fp"] + sums["fn"]) / 2)
    assert pq.mean() == pytest.approx(result.values["panoptic.pq"], abs=1e-12)
    by_image = result.counts.groupby("image_id")[["tp", "fp", "fn"]].sum()
    assert by_image.to_numpy().tolist() == result.per_image[["tp", "fp", "fn"]].to_numpy().tolist()


def test_refuses_what_does_not_fit():
    with pytest.raises(TypeError, match=r"image 1: ids_HW must hold integers in two dimensions, got float64"):
        PanopticMap(image_id=1, ids_HW=np.zeros((2, 2)), segments=())
    with pytest.raises(
        ValueError, match=r"image 1: ids of segments must be above 0 and differ, got \[1, 1\]"
    ):
        small([1], (1, 0), (1, 1))
    with pytest.raises(ValueError, match=r"ids of segments must be above 0 and differ, got \[0\]"):
        small([0], (0, 0))
    with pytest.raises(ValueError, match=r"category of a segment must be at least 0"):
        small([1], (1, -1))
    with pytest.raises(ValueError, match=r"the ids \[2\] of no segment; segments \[3\] have no pixel"):
        small([1, 2], (1, 0), (3, 0))
    truth = small([1, 1], (1, 0))
    with pytest.raises(ValueError, match=r"prediction of image 2 stands where image 1 is expected"):
        score(truth, small([1, 1], (1, 0), image_id=2))
    with pytest.raises(
        ValueError, match=r"prediction must have the shape \(1, 2\) \(height, width\), got \(1, 1"
    ):
        score(truth, small([1], (1, 0)))
    with pytest.raises(ValueError, match=r"predicted segment 1 has category 2, which is not one of 2"):
        score(truth, small([1, 1], (1, 2)))
    with pytest.raises(ValueError, match=r"predicted segment 1 is a crowd; only truth may have any"):
        score(truth, small([1, 1], (1, 0, True)))
    counts = match_panoptic(truth, truth, num_categories=2)
    with pytest.raises(ValueError, match=r"no image to score"):
        evaluate_panoptic([], categories=(THING, STUFF))
    with pytest.raises(ValueError, match=r"image ids must rise, got 1 after 1"):
        evaluate_panoptic([counts, counts], categories=(THING, STUFF))
    with pytest.raises(ValueError, match=r"names of categories must differ, got \['cell', 'cell'\]"):
        evaluate_panoptic([counts], categories=(THING, THING))
    with pytest.raises(ValueError, match=r"image 1 has 2 categories, 1 are named"):
        evaluate_panoptic([counts], categories=(THING,))
