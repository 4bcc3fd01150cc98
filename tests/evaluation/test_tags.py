import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.tags import (
    TASKS,
    TagRecords,
    average_precision,
    evaluate_tags,
    right_among_best,
    tag_definition,
)


def records(scores, annotations, **changes):
    scores, annotations = np.array(scores, dtype=np.float64), np.array(annotations, dtype=np.int64)
    values = {
        "image_ids": np.arange(1, len(scores) + 1),
        "label_ids": tuple(f"m{c}" for c in range(scores.shape[1])),
        "scores_NC": scores,
        "annotations_NC": annotations,
    }
    return TagRecords(**(values | changes))


GOLDEN = records([[0.9, 0.2, 0.6], [0.1, 0.8, 0.7]], [[1, -1, 1], [-1, 1, -1]])


def values(result, task):
    return {
        m.name.removeprefix(f"{task}."): m.value for m in result.values.metrics if m.name.startswith(task)
    }


def test_golden_numbers_of_the_protocol():
    # Label 3 ranks the second image, a negative, above the first: AP 1/2. Best 1: both right of 2 given, 3
    # positives. Best 2: 3 right of 4.
    result = evaluate_tags(GOLDEN, num_seen=0, top=(1, 2))
    assert result.per_label.loc[result.per_label["task"] == "gzsl", "ap"].tolist() == [1.0, 1.0, 0.5]
    assert values(result, "gzsl") == {
        "map": pytest.approx(0.83333, abs=5e-6),
        "precision_1": 1.0,
        "recall_1": 2 / 3,
        "f1_1": 0.8,
        "precision_2": 0.75,
        "recall_2": 1.0,
        "f1_2": pytest.approx(0.857143, abs=5e-7),
    }
    assert values(result, "zsl") == values(result, "gzsl")
    assert result.values.undefined == dict.fromkeys(
        [f"seen.{name}" for name in values(result, "gzsl")], "the task has no label"
    )


def test_tasks_keep_their_own_images_and_labels():
    # Seen: labels 0, 1. Image 1 has a positive there, image 2 only negatives, image 3 nothing known.
    # Unseen: labels 2, 3. Images 2 and 3 have positives; label 3 is annotated in image 1 alone: not kept.
    scores = [[0.9, 0.8, 0.1, 0.5], [0.7, 0.1, 0.4, 0.6], [0.2, 0.3, 0.9, 0.5]]
    result = evaluate_tags(
        records(scores, [[1, 0, -1, -1], [-1, -1, 1, 0], [0, 0, 1, 0]]), num_seen=2, top=(1,)
    )
    labels = result.per_label
    assert labels["task"].tolist() == ["seen", "zsl", "gzsl", "gzsl", "gzsl", "gzsl"]
    assert labels["label"].tolist() == ["m0", "m2", "m0", "m1", "m2", "m3"]
    assert result.per_image["seen_kept"].tolist() == [True, False, False]
    assert result.per_image["zsl_kept"].tolist() == [False, True, True]
    assert values(result, "zsl") == {"map": 1.0, "precision_1": 1.0, "recall_1": 1.0, "f1_1": 1.0}
    # Generalised: m0 1, m1 no positive 0, m2 1 (0.9 and 0.4 against 0.1), m3 no positive 0.
    assert values(result, "gzsl")["map"] == 0.5
    assert result.per_image["gzsl_right_1"].tolist() == [1, 0, 1]
    assert result.per_image["gzsl_positives"].tolist() == [1, 1, 1]
    skipping = evaluate_tags(
        records(scores, [[1, 0, -1, -1], [-1, -1, 1, 0], [0, 0, 1, 0]]), num_seen=2, top=(1,), empty="skip"
    )
    assert skipping.values["gzsl.map"] == 1.0
    assert labels["ap"].isna().tolist() == [False, False, False, True, False, True]


def test_unknown_is_ignored_by_average_precision_and_wrong_among_the_best():
    scores, annotations = [[0.9, 0.8], [0.7, 0.1]], [[0, 1], [1, -1]]
    result = evaluate_tags(records(scores, annotations), num_seen=0, top=(1,))
    assert values(result, "zsl") == {"map": 1.0, "precision_1": 0.5, "recall_1": 0.5, "f1_1": 0.5}


def test_equal_scores_are_read_to_the_models_disadvantage():
    # Two positives of four behind two negatives: (1/3 + 2/4) / 2.
    is_positive = np.array([True, False, True, False])
    assert average_precision(np.full(4, 0.5), is_positive) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert right_among_best(np.full((1, 4), 0.5), is_positive[None], 2).tolist() == [0]
    assert right_among_best(np.full((1, 4), 0.5), is_positive[None], 3).tolist() == [1]
    assert right_among_best(np.array([[0.9, 0.5, 0.5, 0.1]]), is_positive[None], 2).tolist() == [1]
    assert average_precision(np.array([0.0, -0.0]), np.array([True, False])) == 0.5


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_definition_in_loops_and_ignores_order(seed):
    generator = np.random.default_rng(seed)
    n, c = generator.integers(1, 7), generator.integers(3, 7)
    scores = generator.choice([0.1, 0.3, 0.5, 0.7, 0.9], size=(n, c))
    annotations = generator.choice([-1, 0, 1], size=(n, c))
    annotations[0, 0] = annotations[0, -1] = 1
    annotations[0, :] = np.where(annotations[0] == 0, -1, annotations[0])  # every label is kept by gzsl
    result = evaluate_tags(records(scores, annotations), num_seen=1, top=(1,))
    rows = [i for i in range(n) if (annotations[i] == 1).any()]
    total = 0.0
    for j in range(c):
        known = sorted((-scores[i, j], annotations[i, j]) for i in rows if annotations[i, j])
        hits = [rank for rank, (_, y) in enumerate(known, start=1) if y == 1]
        total += sum(place / rank for place, rank in enumerate(hits, start=1)) / len(hits) if hits else 0.0
    assert result.values["gzsl.map"] == pytest.approx(total / c, abs=1e-12)
    right = sum(min((-scores[i, j], annotations[i, j] == 1) for j in range(c))[1] for i in rows)
    assert result.values["gzsl.precision_1"] == pytest.approx(right / len(rows))
    images, labels = generator.permutation(n), np.r_[0, 1 + generator.permutation(c - 1)]
    again = evaluate_tags(
        records(scores[images][:, labels], annotations[images][:, labels]), num_seen=1, top=(1,)
    )
    for task in TASKS:
        assert values(again, task) == pytest.approx(values(result, task), abs=1e-12)


def test_equals_scikit_learn_where_no_scores_are_equal():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(3)
    for count in (2, 10, 200):
        scores, is_positive = generator.random(count), generator.random(count) < 0.3
        is_positive[0] = True
        assert average_precision(scores, is_positive) == pytest.approx(
            metrics.average_precision_score(is_positive, scores), abs=1e-12
        )


def test_rows_of_the_images_give_f1():
    generator = np.random.default_rng(1)
    result = evaluate_tags(
        records(generator.random((30, 12)), generator.choice([-1, 0, 1], size=(30, 12))),
        num_seen=8,
        top=(3,),
    )
    for task in TASKS:
        kept = result.per_image[result.per_image[f"{task}_kept"]]
        right, positives = kept[f"{task}_right_3"].sum(), kept[f"{task}_positives"].sum()
        assert result.values[f"{task}.precision_3"] == pytest.approx(right / (3 * len(kept)))
        assert result.values[f"{task}.recall_3"] == pytest.approx(right / positives)
        assert result.values[f"{task}.f1_3"] == pytest.approx(2 * right / (3 * len(kept) + positives))


def test_nothing_right_scores_zero_and_no_positive_is_undefined():
    result = evaluate_tags(records([[0.9, 0.1]], [[-1, 1]]), num_seen=0, top=(1,))
    assert values(result, "zsl") == {"map": 0.5 * 1.0, "precision_1": 0.0, "recall_1": 0.0, "f1_1": 0.0}
    result = evaluate_tags(records([[0.9, 0.1]], [[-1, 0]]), num_seen=1, top=(1,))
    assert not result.values.metrics
    assert set(result.values.undefined.values()) == {"no image has a positive among its labels"}
    assert result.per_image["zsl_right_1"].tolist() == [0]


def test_every_choice_is_in_the_definition():
    hashes = {
        tag_definition(num_seen=seen, top=top, empty=empty).sha256
        for seen in (1, 2)
        for top in ((3,), (5,))
        for empty in ("zero", "skip")
    }
    assert len(hashes) == 8


def test_refuses_records_that_could_be_taken_for_results():
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"image 1, label 'm1': score must be finite, got {wrong}"):
            records([[0.1, wrong]], [[1, 1]])
    with pytest.raises(ValueError, match=r"image 1, label 'm1': annotation must be 1, 0 or -1, got 2"):
        records([[0.1, 0.2]], [[1, 2]])
    with pytest.raises(ValueError, match=r"annotations_NC must have shape \(1, 2\), got \(1, 3\)"):
        records([[0.1, 0.2]], [[1, 1, 1]])
    with pytest.raises(ValueError, match=r"image_ids repeat: 4"):
        records([[0.1], [0.2]], [[1], [1]], image_ids=np.array([4, 4]))
    with pytest.raises(ValueError, match=r"label_ids repeat: 'a'"):
        records([[0.1, 0.2]], [[1, 1]], label_ids=("a", "a"))
    with pytest.raises(TypeError, match=r"scores_NC must be floating, got int64"):
        records([[0.1]], [[1]], scores_NC=np.array([[1]]))
    with pytest.raises(TypeError, match=r"annotations_NC must be a signed integer, got uint8"):
        records([[0.1]], [[1]], annotations_NC=np.array([[1]], dtype=np.uint8))
    with pytest.raises(TypeError, match=r"image_ids must be int64 of shape \(N,\), got float64"):
        records([[0.1]], [[1]], image_ids=np.array([1.0]))


def test_refuses_settings_that_mean_nothing():
    with pytest.raises(ValueError, match=r"num_seen must be from 0 to the 3 labels, got 4"):
        evaluate_tags(GOLDEN, num_seen=4)
    with pytest.raises(ValueError, match=r"k must be from 1 to the 3 labels that compete, got 5"):
        evaluate_tags(GOLDEN, num_seen=3, top=(5,))
    with pytest.raises(ValueError, match=r"k must be from 1 to the 3 labels that compete, got 0"):
        evaluate_tags(GOLDEN, num_seen=3, top=(0,))
    with pytest.raises(ValueError, match=r"top must name different numbers of labels, got \(1, 1\)"):
        evaluate_tags(GOLDEN, num_seen=3, top=(1, 1))
    with pytest.raises(ValueError, match=r"empty must be 'zero' or 'skip', got 'mean'"):
        evaluate_tags(GOLDEN, num_seen=3, empty="mean")
    with pytest.raises(ValueError, match=r"no image to score"):
        evaluate_tags(records(np.zeros((0, 2)), np.zeros((0, 2))), num_seen=1)
    with pytest.raises(ValueError, match=r"average precision needs at least one positive"):
        average_precision(np.array([0.5]), np.array([False]))
