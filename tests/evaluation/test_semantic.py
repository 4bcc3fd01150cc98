import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.semantic import NOTHING, ImageConfusion, class_iou, count_confusion, evaluate_semantic

CLASSES = ("sky", "road", "tree")


def confusion(true, predicted, image_id=1, num_classes=3):
    predicted = None if predicted is None else np.atleast_2d(np.array(predicted))
    return count_confusion(
        image_id, np.atleast_2d(np.array(true)), predicted, num_classes=num_classes, ignore_label=255
    )


def test_by_hand_over_two_images():
    # sky: 2 right of 2 true and 3 said: 2/3. road: 1 right, true 3, said 2: 1/4. tree: nowhere.
    first = confusion([0, 0, 1, 255], [0, 0, 0, 1])
    second = confusion([1, 1, 255, 255], [1, 255, 2, 255], image_id=2)
    result = evaluate_semantic([first, second], classes=CLASSES)
    assert result.values["semantic.mean_iou"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert result.values["semantic.mean_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert result.values["semantic.pixel_accuracy"] == pytest.approx(3 / 5)
    assert result.undefined_classes == {"tree": "no pixel is or is said to be of this class"}
    assert result.per_class["num_true"].tolist() == [2, 3, 0]
    assert result.per_class["num_predicted"].tolist() == [3, 1, 0]
    assert result.per_class["iou"].isna().tolist() == [False, False, True]
    assert {metric.name: metric.count for metric in result.values.metrics} == {
        "semantic.mean_iou": 2,
        "semantic.mean_accuracy": 2,
        "semantic.pixel_accuracy": 5,
    }
    images = result.per_image
    assert images[["num_pixels", "num_ignored", "num_right", "num_unpredicted"]].to_numpy().tolist() == [
        [3, 1, 2, 0],
        [2, 2, 1, 1],
    ]
    assert images["mean_iou"].tolist() == [pytest.approx((2 / 3 + 0) / 2), 0.5]
    assert result.confusions.to_dict("records") == [
        {"image_id": 1, "true": "sky", "predicted": "sky", "pixels": 2},
        {"image_id": 1, "true": "road", "predicted": "sky", "pixels": 1},
        {"image_id": 2, "true": "road", "predicted": "road", "pixels": 1},
        {"image_id": 2, "true": "road", "predicted": NOTHING, "pixels": 1},
    ]


def test_a_class_that_is_only_predicted_scores_zero():
    result = evaluate_semantic([confusion([0, 0], [0, 2])], classes=CLASSES)
    assert result.values["semantic.mean_iou"] == 0.25
    assert result.values["semantic.mean_accuracy"] == 0.5
    assert list(result.undefined_classes) == ["road"]


def test_no_prediction_is_wrong_and_no_pixel_is_undefined():
    result = evaluate_semantic([confusion([0, 1], None)], classes=CLASSES)
    assert {metric.value for metric in result.values.metrics} == {0.0}
    assert result.per_image["num_unpredicted"].tolist() == [2]
    result = evaluate_semantic([confusion([255, 255], [0, 1])], classes=CLASSES)
    assert set(result.values.undefined.values()) == {"every pixel has the ignore label"}
    assert len(result.values.undefined) == 3
    assert len(result.undefined_classes) == 3
    assert result.per_image["mean_iou"].isna().all()
    assert not len(result.confusions)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_equals_sets_of_pixels(seed):
    generator = np.random.default_rng(seed)
    labels = [0, 1, 2, 3, 255]
    true, said = generator.choice(labels, size=(3, 4, 5)), generator.choice(labels, size=(3, 4, 5))
    true[0, 0, 0] = 0
    kept = true != 255
    ious = []
    for k in range(4):
        both = (true == k) & (said == k)
        either = kept & ((true == k) | (said == k))
        if either.any():
            ious.append(both.sum() / either.sum())
    images = [
        confusion(t, p, image_id=i, num_classes=4) for i, (t, p) in enumerate(zip(true, said, strict=True))
    ]
    result = evaluate_semantic(images, classes="abcd")
    assert result.values["semantic.mean_iou"] == pytest.approx(np.mean(ious), abs=1e-12)
    assert result.values["semantic.pixel_accuracy"] == pytest.approx((true == said)[kept].mean())
    table = pd.crosstab(
        result.confusions["true"], result.confusions["predicted"], result.confusions["pixels"], aggfunc="sum"
    ).reindex(index=list("abcd"), columns=[*"abcd", NOTHING])
    again = class_iou(table.fillna(0).to_numpy(dtype=np.int64))
    present = ~result.per_class["iou"].isna()
    np.testing.assert_allclose(again[present], result.per_class["iou"][present].to_numpy(dtype=float))


def test_small_integer_types_do_not_wrap():
    true = np.full((200, 200), 199, dtype=np.uint8)
    image = count_confusion(1, true, true, num_classes=200, ignore_label=255)
    assert image.pixels_KP[199, 199] == 40000
    assert image.pixels_KP.sum() == 40000


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"ignore_label must be none of the 3 classes, got 2"):
        count_confusion(1, np.zeros((1, 1), int), None, num_classes=3, ignore_label=2)
    with pytest.raises(TypeError, match=r"image 1: predicted_HW must hold integers, got float64"):
        confusion([0], [0.5])
    with pytest.raises(
        ValueError, match=r"predicted_HW must have the shape \(1, 2\) \(height, width\), got \(1, 1\)"
    ):
        confusion([0, 0], [0])
    with pytest.raises(ValueError, match=r"true_HW must have the shape \(2,\) \(height, width\), got \(2,\)"):
        count_confusion(1, np.zeros(2, int), None, num_classes=3, ignore_label=255)
    with pytest.raises(ValueError, match=r"image 1: predicted_HW has the label 3, which is neither one of 3"):
        confusion([0], [3])
    with pytest.raises(
        ValueError, match=r"image 1: true_HW has the label -1, which is neither one of 3 classes"
    ):
        confusion([-1], [0])
    image = confusion([0], [0])
    with pytest.raises(ValueError, match=r"no image to score"):
        evaluate_semantic([], classes=CLASSES)
    with pytest.raises(ValueError, match=r"image ids must rise, got 1 after 1"):
        evaluate_semantic([image, image], classes=CLASSES)
    with pytest.raises(ValueError, match=r"image 1 has 3 classes, 2 are named"):
        evaluate_semantic([image], classes=CLASSES[:2])
    with pytest.raises(ValueError, match=r"names of classes must differ, also from '\(none\)'"):
        evaluate_semantic([image], classes=("a", "b", NOTHING))
    with pytest.raises(TypeError, match=r"image 1: pixels_KP must be int64, got float64"):
        ImageConfusion(image_id=1, pixels_KP=np.zeros((3, 4)), num_ignored=0)
    with pytest.raises(ValueError, match=r"pixels_KP must have shape \(K, K \+ 1\), got \(3, 3\)"):
        ImageConfusion(image_id=1, pixels_KP=np.zeros((3, 3), int), num_ignored=0)
    with pytest.raises(ValueError, match=r"numbers of pixels must not be negative"):
        ImageConfusion(image_id=1, pixels_KP=np.full((3, 4), -1), num_ignored=0)
