import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.prompted import UNNAMED, ImageAnswer, categories_to_ask, evaluate_prompted
from tests.evaluation.test_proposals import proposals_of, truth_of

NAMES = ("cat", "dog", "cup")
A, B, C, D = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]
FAR = [80, 80, 90, 90]


def answer_of(boxes, categories, *, image_id=1, num_unreadable=0):
    return ImageAnswer(
        image_id=image_id,
        categories=np.array(categories, dtype=np.int64),
        boxes_xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        num_unreadable=num_unreadable,
    )


def score(truth, answer, proposals=None):
    given_proposals = None if proposals is None else [proposals]
    return evaluate_prompted([truth], [answer], categories=NAMES, proposals=given_proposals)


def test_a_perfect_answer():
    truth = truth_of([A, B], categories=[0, 1])
    result = score(truth, answer_of([B, A], [1, 0]), proposals_of([A, B, FAR]))
    assert {metric.value for metric in result.values.metrics} == {1.0}
    assert len(result.values.metrics) == 6


def test_by_hand():
    # cat: A, B, C true; A found, twice (the second is wrong): 1 right of 2 said, 1 of 3 found.
    # dog: D true and found, and one far off: 1 of 2, 1 of 1. cup is not asked for: 0 of 1.
    # One box of an unknown name, one unreadable statement: micro 2 right of 2 + 2 + 1 + 2 = 7, 2 of 4 found.
    truth = truth_of([A, B, C, D], categories=[0, 0, 0, 1])
    answer = answer_of([A, A, D, FAR, FAR, FAR], [0, 0, 1, 1, 2, UNNAMED], num_unreadable=1)
    result = score(truth, answer, proposals_of([A, B, D, FAR]))
    assert {metric.name: metric.value for metric in result.values.metrics} == {
        "prompted.precision50": pytest.approx(2 / 7),
        "prompted.recall50": 0.5,
        "prompted.class_precision50": pytest.approx((1 / 2 + 1 / 2 + 0) / 3),
        "prompted.class_recall50": pytest.approx((1 / 3 + 1) / 2),
        "prompted.oracle_recall50": 0.75,
        "prompted.class_oracle_recall50": pytest.approx((2 / 3 + 1) / 2),
    }
    assert result.per_image.to_dict("records") == [
        {
            "image_id": 1,
            "num_regions": 4,
            "tp": 2,
            "fp": 5,
            "fn": 2,
            "ignored": 0,
            "not_asked": 2,
            "unreadable": 1,
            "covered": 3,
        }
    ]
    assert result.counts.to_dict("records") == [
        {"image_id": 1, "category": "cat", "tp": 1, "fp": 1, "fn": 2, "covered": 2},
        {"image_id": 1, "category": "dog", "tp": 1, "fp": 1, "fn": 0, "covered": 1},
        {"image_id": 1, "category": "cup", "tp": 0, "fp": 1, "fn": 0, "covered": 0},
    ]


def test_the_order_of_the_answer_decides():
    truth = truth_of([A, [0, 0, 10, 7]], categories=[0, 0])
    # First box: IoU 0.6 with A and 6/7 with the other, takes the other. Second: exact A.
    result = score(truth, answer_of([[0, 0, 10, 6], A], [0, 0]))
    assert result.per_image[["tp", "fp", "fn"]].to_numpy().tolist() == [[2, 0, 0]]
    # First box: exact A takes A; the second has IoU 0.7 with A (taken) and 1.0 with the other.
    result = score(truth, answer_of([A, A], [0, 0]))
    assert result.per_image[["tp", "fp", "fn"]].to_numpy().tolist() == [[2, 0, 0]]
    result = score(truth, answer_of([A, A, A], [0, 0, 0]))
    assert result.per_image[["tp", "fp", "fn"]].to_numpy().tolist() == [[2, 1, 0]]


def test_an_iou_of_one_half_is_enough():
    assert score(truth_of([A]), answer_of([[0, 0, 10, 5]], [0])).values["prompted.recall50"] == 1.0
    assert score(truth_of([A]), answer_of([[0, 0, 10, 4.999]], [0])).values["prompted.recall50"] == 0.0


def test_a_crowd_is_neither_right_nor_wrong_nor_missed():
    truth = truth_of([A, [40, 40, 90, 90]], categories=[0, 1], is_crowd=[False, True])
    assert categories_to_ask(truth) == (0, 1)
    result = score(truth, answer_of([A, FAR, FAR], [0, 1, 1]), proposals_of([A, FAR]))
    assert {metric.value for metric in result.values.metrics} == {1.0}
    assert result.per_image[["tp", "fp", "fn", "ignored"]].to_numpy().tolist() == [[1, 0, 0, 2]]
    other = score(truth, answer_of([A, FAR], [0, 0]))
    assert other.values["prompted.precision50"] == 0.5


def test_silence_scores_zero_and_nothing_to_find_is_undefined():
    result = score(truth_of([A]), answer_of([], []))
    assert {metric.value for metric in result.values.metrics} == {0.0}
    assert set(result.values.undefined) == {"prompted.oracle_recall50", "prompted.class_oracle_recall50"}
    assert set(result.values.undefined.values()) == {"the boxes were not chosen among proposals"}
    result = score(truth_of([A], is_crowd=[True]), answer_of([A], [0]))
    assert not result.values.metrics
    assert set(result.values.undefined.values()) == {"no image has a region"}


def test_leaving_out_a_hard_category_does_not_raise_the_class_mean():
    truth = truth_of([A, B], categories=[0, 1])
    said = score(truth, answer_of([A, FAR], [0, 1])).values["prompted.class_precision50"]
    silent = score(truth, answer_of([A], [0])).values["prompted.class_precision50"]
    assert silent == said == 0.5


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_rule_in_words_and_the_oracle_is_a_bound(seed):
    generator = np.random.default_rng(seed)

    def draw(count):
        corner, side = generator.integers(0, 12, size=(count, 2)), generator.integers(4, 9, size=(count, 2))
        return np.concatenate([corner, corner + side], axis=1).astype(float)

    truth = truth_of(draw(generator.integers(1, 6)).tolist(), size=(30, 30))
    regions = len(truth.masks)
    truth.categories[:] = generator.integers(0, 2, size=regions)
    truth.is_crowd[1:] = generator.random(regions - 1) < 0.25
    offered = draw(8)
    chosen, named = generator.integers(0, 8, size=6), generator.integers(0, 3, size=6)
    answer = answer_of(offered[chosen].tolist(), named)
    result = score(truth, answer, proposals_of(offered.tolist()))
    row = result.per_image.iloc[0]
    assert [row["tp"], row["ignored"], row["fp"]] == slow_counts(truth, answer)
    assert row["tp"] + row["fn"] == row["num_regions"] == (~truth.is_crowd).sum()
    assert row["tp"] <= row["covered"]
    assert (result.counts["tp"] <= result.counts["covered"]).all()
    for kind in ("", "class_"):
        oracle = result.values[f"prompted.{kind}oracle_recall50"]
        assert result.values[f"prompted.{kind}recall50"] <= oracle


def slow_counts(truth, answer):
    """Right, ignored and wrong boxes, one box at a time."""
    taken, counts = set(), [0, 0, 0]
    for box, category in zip(answer.boxes_xyxy, answer.categories, strict=True):
        best, place = 0.0, None
        crowd = False
        for g, region in enumerate(truth.boxes_xyxy):
            if truth.categories[g] != category:
                continue
            low, high = np.maximum(box[:2], region[:2]), np.minimum(box[2:], region[2:])
            common = np.prod(np.maximum(high - low, 0))
            mine, its = np.prod(box[2:] - box[:2]), np.prod(region[2:] - region[:2])
            if truth.is_crowd[g]:
                crowd = crowd or common / mine >= 0.5
            elif g not in taken and common / (mine + its - common) >= max(best, 0.5):
                best, place = common / (mine + its - common), g
        taken.add(place)
        counts[0 if place is not None else 1 if crowd else 2] += 1
    return counts


def test_refuses_what_does_not_fit():
    truth = truth_of([A])
    with pytest.raises(
        ValueError, match=r"image 1: box \[0.0, 0.0, 10.0, 9.0\] of the answer is none of its 1 prop"
    ):
        score(truth, answer_of([[0, 0, 10, 9]], [0]), proposals_of([A]))
    with pytest.raises(ValueError, match=r"image 1 of the answers: category 3 is not one of 3"):
        score(truth, answer_of([A], [3]))
    with pytest.raises(ValueError, match=r"image 1 of the regions: category 4 is not one of 3"):
        score(truth_of([A], categories=[4]), answer_of([A], [0]))
    with pytest.raises(ValueError, match=r"answers of image 2 stand where image 1 is expected"):
        score(truth, answer_of([A], [0], image_id=2))
    with pytest.raises(ValueError, match=r"proposals of image 2 stand where image 1 is expected"):
        score(truth, answer_of([A], [0]), proposals_of([A], image_id=2))
    with pytest.raises(ValueError, match=r"names of categories must differ, got \['a', 'a'\]"):
        evaluate_prompted([truth], [answer_of([A], [0])], categories=("a", "a"))
    with pytest.raises(
        ValueError, match=r"image 1 of the answers, number 0: box_xyxy must be finite with left < right"
    ):
        answer_of([[np.nan, 0, 1, 1]], [0])
    with pytest.raises(ValueError, match=r"category must be at least -1, got -2"):
        answer_of([A], [-2])
    with pytest.raises(ValueError, match=r"categories must have shape \(1,\), got \(2,\)"):
        answer_of([A], [0, 0])
    with pytest.raises(TypeError, match=r"categories must be int64, got float64"):
        ImageAnswer(image_id=1, categories=np.zeros(1), boxes_xyxy=np.array([A], dtype=float))
    with pytest.raises(ValueError, match=r"num_unreadable must be at least 0, got -1"):
        answer_of([], [], num_unreadable=-1)
