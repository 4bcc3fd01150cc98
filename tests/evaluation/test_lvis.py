import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.definition import AREAS, IOU_PERCENT, KINDS
from evaluation.lvis import FREQUENCIES, LVIS, MOST, SIZES, evaluate_lvis
from evaluation.matching import THRESHOLDS_T
from tests.evaluation.lvis_scenes import CATEGORIES, found_of, image_of, vector, world

OFFICIAL = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "APs": "ap_small",
    "APm": "ap_medium",
    "APl": "ap_large",
    "APr": "ap_rare",
    "APc": "ap_common",
    "APf": "ap_frequent",
    "AR@300": "ar_300",
    "ARs@300": "ar_300_small",
    "ARm@300": "ar_300_medium",
    "ARl@300": "ar_300_large",
}
ONE = pytest.approx(1.0, abs=1e-12)
"""The scorer adds a machine epsilon to what is claimed."""
A, B, FAR = [0, 0, 40, 40], [60, 0, 100, 40], [70, 70, 110, 110]


def score(image, found, **options):
    return evaluate_lvis([image], [found], categories=CATEGORIES, **options)


@pytest.fixture(scope="module")
def scored():
    split, results, official = vector()
    result = evaluate_lvis(split.images, results.detections, categories=split.categories, kinds=results.kinds)
    return split, result, official


@pytest.mark.parametrize(("kind", "name"), [("box", "bbox"), ("mask", "segm")])
def test_equals_the_tool_of_the_authors(scored, kind, name):
    _, result, official = scored
    ours = {theirs: result.values[f"lvis.{kind}.{mine}"] for theirs, mine in OFFICIAL.items()}
    assert ours == pytest.approx(official[name]["summary"], abs=1e-12)
    has = result.per_category[result.per_category["num_regions"] > 0]
    ap_of_category = dict(zip(has["category"], has[f"{kind}_ap"].astype(float), strict=True))
    assert ap_of_category == pytest.approx(official[name]["ap_of_category"], abs=1e-12)
    alone = result.per_category["num_regions"] == 0
    assert alone.any()
    assert result.per_category.loc[alone, f"{kind}_ap"].isna().all()


def test_the_vector_has_every_case(scored):
    split, result, _ = scored
    assert result.per_image["num_beyond_cap"].max() == 115
    assert result.per_image["num_not_annotated"].sum() == 149
    assert result.per_image["box_ignored50"].sum() > 100
    assert result.matches["score"].duplicated().any()
    letters = np.array([item.frequency for item in split.categories])
    has = (result.per_category["num_regions"] > 0).to_numpy()
    assert set(letters[has]) == {"r", "c", "f"}
    assert set(result.per_category["frequency"]) == {"r", "c", "f"}


def ap_from_tables(result, kind, name, threshold):
    """Average precision of one category out of the two tables, point by point."""
    table = result.matches[result.matches["category"] == name]
    table = table[~table[f"{kind}_ignored_{threshold}"]]
    table = table.sort_values("score", ascending=False, kind="stable")
    right = table[f"{kind}_matched_{threshold}"].to_numpy()
    regions = result.regions.loc[result.regions["category"] == name, "num_regions"].sum()
    tp, claimed = np.cumsum(right), np.arange(1, len(right) + 1)
    precision, recall = tp / claimed, tp / regions
    points = [
        max(precision[recall >= point], default=0.0) for point in np.linspace(0.0, 1.0, LVIS.recall_points)
    ]
    return np.mean(points)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_hold_all_that_ap_is_made_of(scored, kind):
    _, result, _ = scored
    names = result.per_category.loc[result.per_category["num_regions"] > 0, "category"]
    for percent, metric in ((50, "ap50"), (75, "ap75")):
        expected = np.mean([ap_from_tables(result, kind, name, percent) for name in names])
        assert result.values[f"lvis.{kind}.{metric}"] == pytest.approx(expected, abs=1e-9)


def test_by_hand():
    # c0 (rare): one region, found. c1 (common): one region, found by the second of two, the first is wrong:
    # AP 1/2. c2: negative, one false alarm, but no region: in no mean. c3: unknown, left out.
    image = image_of([A, B], [0, 1], negative=[2])
    found = found_of([A, FAR, B, FAR, FAR], [0, 1, 1, 2, 3], [0.9, 0.8, 0.7, 0.6, 0.5])
    result = score(image, found)
    for kind in KINDS:
        ours = {name: result.values[f"lvis.{kind}.{name}"] for name in ("ap", "ap50", "ap_rare", "ap_common")}
        assert ours == pytest.approx({"ap": 0.75, "ap50": 0.75, "ap_rare": 1.0, "ap_common": 0.5})
        assert result.values[f"lvis.{kind}.ar_300"] == 1.0
        assert result.values[f"lvis.{kind}.ap_medium"] == pytest.approx(0.75)
    assert result.values["lvis.detections_per_image"] == 5.0
    assert result.values.undefined == {
        **{f"lvis.{kind}.ap_frequent": "no frequent category has a region" for kind in KINDS},
        **{
            f"lvis.{kind}.{name}_{size}": f"no image has a {size} region"
            for kind in KINDS
            for name in ("ap", "ar_300")
            for size in ("small", "large")
        },
    }
    counts = {metric.name: metric.count for metric in result.values.metrics}
    assert (counts["lvis.box.ap"], counts["lvis.box.ap_rare"], counts["lvis.box.ap_medium"]) == (2, 1, 2)
    row = result.per_image.iloc[0].to_dict()
    expected = {"image_id": 1, "num_regions": 2, "num_detections": 5, "num_scored": 4}
    expected |= {"num_beyond_cap": 0, "num_not_annotated": 1}
    for kind in KINDS:
        expected |= {f"{kind}_tp50": 2, f"{kind}_fp50": 2, f"{kind}_fn50": 0, f"{kind}_ignored50": 0}
    assert row == expected


def test_what_the_lists_change():
    found = found_of([FAR, A], [0, 0], [0.9, 0.5])
    assert score(image_of([A], [0]), found).values["lvis.box.ap"] == pytest.approx(0.5)
    open_image = image_of([A], [0], not_exhaustive=[0])
    assert score(open_image, found).values["lvis.box.ap"] == ONE
    # A second image in which the category is unknown, absent, or present.
    other = found_of([FAR], [0], [0.9], image_id=2)
    first, mine = image_of([A], [0]), found_of([A], [0], [0.5])
    values = [
        evaluate_lvis([first, second], [mine, other], categories=CATEGORIES).values["lvis.box.ap"]
        for second in (image_of([], [], image_id=2), image_of([], [], image_id=2, negative=[0]))
    ]
    assert values == pytest.approx([1.0, 0.5])


def test_the_cap_is_one_for_all_categories():
    boxes, categories = [FAR] * MOST + [A], [1] * MOST + [0]
    scores = np.append(np.full(MOST, 0.9), 0.1)
    image = image_of([A], [0], negative=[1])
    late = score(image, found_of(boxes, categories, scores))
    assert late.values["lvis.box.ap"] == 0.0
    assert late.values["lvis.detections_per_image"] == MOST + 1
    assert late.matches["standing"].iloc[-1] == "beyond the cap"
    within = score(image, found_of(boxes[1:], categories[1:], scores[1:]))
    assert within.values["lvis.box.ap"] == ONE


def test_the_annotated_area_decides():
    image = image_of([A], [0], areas=[100.0])
    result = score(image, found_of([A], [0], [0.5]))
    assert result.values["lvis.box.ap_small"] == ONE
    assert "lvis.box.ap_medium" in result.values.undefined


def test_silence_scores_zero_and_nothing_to_find_is_undefined():
    silent = score(image_of([A], [0]), found_of([], [], []))
    assert {metric.value for metric in silent.values.metrics} == {0.0}
    assert len(silent.matches) == 0
    assert silent.per_category["box_ap"].dropna().tolist() == [0.0]
    empty = score(image_of([], []), found_of([A], [0], [0.5]))
    assert [metric.name for metric in empty.values.metrics] == ["lvis.detections_per_image"]
    assert empty.values.undefined["lvis.mask.ap"] == "no image has a region"
    assert len(empty.regions) == 0


def test_boxes_alone():
    result = score(image_of([A], [0]), found_of([A], [0], [0.5]), kinds=("box",))
    assert result.values["lvis.box.ap"] == ONE
    assert result.values.undefined["lvis.mask.ap"] == "this kind of overlap was not scored"
    assert not [name for name in result.matches if name.startswith("mask")]
    bare = dataclasses.replace(found_of([A, FAR], [0, 1], [0.5, 0.9]), masks=())
    assert score(image_of([A], [0]), bare, kinds=("box",)).values["lvis.box.ap"] == ONE
    with pytest.raises(ValueError, match=r"^image 1 of the detections: 2 boxes have no masks; "):
        score(image_of([A], [0]), bare)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_equals_the_rules_one_detection_at_a_time(seed, kind):
    images, detections = world(seed)
    result = evaluate_lvis(images, detections, categories=CATEGORIES)
    rows = {area: slow_scores(images, detections, kind, area) for area in AREAS}
    expected = {"ap": mean(rows["all"], 0), "ar_300": mean(rows["all"], 1)}
    expected |= {f"ap_{size}": mean(rows[size], 0) for size in SIZES}
    expected |= {f"ar_300_{size}": mean(rows[size], 1) for size in SIZES}
    for name, letter in FREQUENCIES.items():
        some = [k for k, item in enumerate(CATEGORIES) if item.frequency == letter and k in rows["all"]]
        expected[f"ap_{name}"] = mean({k: rows["all"][k] for k in some}, 0)
    for name, value in expected.items():
        if value is None:
            assert f"lvis.{kind}.{name}" in result.values.undefined
        else:
            assert result.values[f"lvis.{kind}.{name}"] == pytest.approx(value, abs=1e-12)
    table = result.per_image
    assert (table[f"{kind}_tp50"] + table[f"{kind}_fn50"] == table["num_regions"]).all()
    parts = table[[f"{kind}_tp50", f"{kind}_fp50", f"{kind}_ignored50"]].sum(axis=1)
    assert (parts == table["num_scored"]).all()


def mean(rows, column):
    return float(np.mean([row[column] for row in rows.values()])) if rows else None


def slow_scores(images, detections, kind, area):
    """Category -> (average precision, recall), means over the thresholds, one detection at a time."""
    low, high = AREAS[area]
    out = {}
    for category in range(len(CATEGORIES)):
        precisions, recalls = [], []
        for threshold in THRESHOLDS_T:
            marks, regions = [], 0
            for image, found in zip(images, detections, strict=True):
                part, count = slow_image(image, found, category, threshold, low, high)
                marks += part
                regions += count
            marks = [mark for _, mark in sorted(marks, key=lambda item: -item[0]) if mark is not None]
            if regions:
                precisions.append(slow_precision(marks, regions))
                recalls.append(sum(marks) / regions)
        if precisions:
            assert len(precisions) == len(IOU_PERCENT)
            out[category] = np.mean(precisions), np.mean(recalls)
    return out


def slow_image(image, found, category, threshold, low, high):
    """(score, right or wrong or None) of each detection, and the number of regions to find."""
    truth = image.truth
    regions = [g for g in range(len(truth.masks)) if truth.categories[g] == category]
    counts = {g: low <= image.areas[g] <= high for g in regions}
    if not regions and category not in image.negative:
        return [], 0
    ranked = sorted(range(len(found.scores)), key=lambda d: -found.scores[d])[:MOST]
    marks, taken = [], set()
    for d in (d for d in ranked if found.categories[d] == category):
        box = found.boxes_xyxy[d]
        best, chosen = threshold, None
        for wanted in (True, False):
            for g in regions:
                if chosen is None or counts[chosen] == wanted:
                    value = slow_iou(box, truth.boxes_xyxy[g])
                    if counts[g] == wanted and g not in taken and value >= best:
                        best, chosen = value, g
        taken.add(chosen)
        if chosen is not None:
            mark = True if counts[chosen] else None
        else:
            size = np.prod(box[2:] - box[:2])
            mark = None if category in image.not_exhaustive or not low <= size <= high else False
        marks.append((found.scores[d], mark))
    return marks, sum(counts.values())


def slow_iou(one, other):
    sides = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
    common = np.prod(sides)
    return common / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common)


def slow_precision(marks, regions):
    tp = np.cumsum(marks) if marks else np.zeros(0)
    precision, recall = tp / np.arange(1, len(tp) + 1), tp / regions
    return np.mean([max(precision[recall >= point], default=0.0) for point in np.linspace(0, 1, 101)])


def test_refuses_what_does_not_fit():
    image, found = image_of([A], [0]), found_of([A], [0], [0.5])
    with pytest.raises(ValueError, match=r"^kinds must be some of \('box', 'mask'\), got \(\)\.$"):
        score(image, found, kinds=())
    with pytest.raises(ValueError, match=r"^names of categories must differ, 'c0' appears twice\.$"):
        evaluate_lvis([image], [found], categories=[CATEGORIES[0]] * 2)
    with pytest.raises(ValueError, match=r"^image 1 of the detections: category 3 is not one of 3\.$"):
        evaluate_lvis([image], [found_of([A], [3], [0.5])], categories=CATEGORIES[:3])
    with pytest.raises(ValueError, match=r"^image 1 of the regions: category 9 of a list is not one of 4\.$"):
        score(image_of([A], [0], negative=[9]), found)
    with pytest.raises(ValueError, match=r"^no image to score"):
        evaluate_lvis([], [], categories=CATEGORIES)
    wrong = dataclasses.replace(found, image_id=2)
    with pytest.raises(ValueError, match=r"^detections of image 2 \(120x120\) stand where image 1"):
        score(image, wrong)
    with pytest.raises(ValueError, match=r"number 0: score must be finite"):
        found_of([A], [0], [np.nan])


def test_the_definition_names_every_metric():
    assert len(LVIS.metrics) == 2 * len(OFFICIAL) + 1
    assert LVIS.caps == (300,)
