import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.audio_visual import THRESHOLDS_T, SoundingVideo, evaluate_audio_visual, f_curve


def slow_f(mask, probability):
    """F at each threshold, pixel counts by comparison; 0 where it has no value."""
    curve = []
    for threshold in THRESHOLDS_T:
        predicted = probability >= threshold
        right = (predicted & mask).sum()
        precision = right / predicted.sum() if predicted.any() else 0.0
        recall = right / mask.sum()
        both = 0.3 * precision + recall
        curve.append(1.3 * precision * recall / both if both else 0.0)
    return np.array(curve)


def video(mask, name="v"):
    return SoundingVideo(video_id=name, mask_FHW=np.array(mask, dtype=bool))


def both(result):
    return {metric.name.removeprefix("audio_visual."): metric.value for metric in result.values.metrics}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_the_curve_equals_255_comparisons(seed):
    generator = np.random.default_rng(seed)
    mask = generator.random((6, 7)) < 0.4
    mask[0, 0] = True
    exact = generator.choice(THRESHOLDS_T, size=(6, 7))  # values equal to thresholds count as reached
    probability = np.where(generator.random((6, 7)) < 0.5, exact, generator.random((6, 7)))
    np.testing.assert_allclose(f_curve(mask, probability), slow_f(mask, probability), atol=1e-14)
    single = probability.astype(np.float32)
    np.testing.assert_allclose(f_curve(mask, single), slow_f(mask, single.astype(np.float64)), atol=1e-14)


def test_beta_squared_weighs_precision():
    """Half of the truth found and nothing else: 1.3 * 0.5 / (0.3 + 0.5). All found, and as much again:
    1.3 * 0.5 / (0.15 + 1)."""
    mask = np.array([[1, 1, 0, 0]], dtype=bool)
    half = f_curve(mask, np.array([[1.0, 0.0, 0.0, 0.0]]))
    twice = f_curve(mask, np.array([[1.0, 1.0, 1.0, 1.0]]))
    assert half[-1] == pytest.approx(0.8125)
    assert twice[-1] == pytest.approx(0.65 / 1.15)
    assert half[0] == twice[0]  # threshold 0 predicts every pixel


def test_a_perfect_mask_scores_1_and_its_inverse_little():
    mask = np.zeros((2, 8, 8), dtype=bool)
    mask[:, 2:4, 2:5] = True
    items = [video(mask)]
    assert both(evaluate_audio_visual(items, {"v": mask.astype(np.float32)})) == {"m_j": 1.0, "m_f": 1.0}
    inverse = both(evaluate_audio_visual(items, {"v": (~mask).astype(np.float64)}))
    everything = 1.3 * (6 / 64) / (0.3 * 6 / 64 + 1)
    assert inverse == pytest.approx({"m_j": 0.0, "m_f": everything})  # at threshold 0


@pytest.mark.parametrize("size", [1, 3, 7, 11])
def test_a_perfect_score_is_not_above_1(size):
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask.reshape(-1)[:size] = True
    assert both(evaluate_audio_visual([video(mask)], {"v": mask.astype(float)})) == {"m_j": 1.0, "m_f": 1.0}


def test_half_is_not_above_half():
    mask = np.ones((1, 1, 2), dtype=bool)
    found = evaluate_audio_visual([video(mask)], {"v": np.array([[[0.5, 0.5000001]]])})
    assert both(found)["m_j"] == 0.5


def test_the_best_threshold_belongs_to_the_video():
    """Each frame alone reaches F = 1 at thresholds of its own; together no threshold serves both.

    Frame 1 needs more than 0.4, frame 2 at most 0.2. Up to 0.2: (F of half precision + 1) / 2. Above 0.4:
    (1 + 0) / 2.
    """
    mask = np.array([[[1, 0]], [[1, 0]]])
    probability = np.array([[[0.9, 0.4]], [[0.2, 0.0]]])
    result = evaluate_audio_visual([video(mask)], {"v": probability})
    half = 1.3 * 0.5 / (0.15 + 1)
    assert both(result)["m_f"] == pytest.approx((half + 1) / 2)


def test_frames_where_nothing_sounds():
    """M_J: one of four pixels is predicted in the quiet frame. M_F: the quiet frame does not count."""
    mask = np.array([[[1, 0, 0, 0]], [[0, 0, 0, 0]]])
    probability = np.array([[[1.0, 0, 0, 0]], [[0.9, 0, 0, 0]]])
    result = evaluate_audio_visual([video(mask)], {"v": probability})
    assert both(result) == pytest.approx({"m_j": (1 + 0.75) / 2, "m_f": 1.0})
    assert result.per_frame["num_pixels"].tolist() == [1, 0]
    assert result.per_frame["iou"].tolist() == [1.0, 0.75]


def test_a_video_where_nothing_sounds_has_no_f():
    quiet, loud = video(np.zeros((1, 2, 2)), "quiet"), video(np.ones((1, 2, 2)), "loud")
    maps = {"quiet": np.zeros((1, 2, 2)), "loud": np.ones((1, 2, 2))}
    result = evaluate_audio_visual([quiet, loud], maps)
    assert result.per_video["f"].isna().tolist() == [True, False]
    assert {metric.name: metric.count for metric in result.values.metrics} == {
        "audio_visual.m_j": 2,
        "audio_visual.m_f": 1,
    }
    alone = evaluate_audio_visual([quiet], {"quiet": maps["quiet"]})
    assert alone.values.undefined == {"audio_visual.m_f": "nothing sounds in any frame"}


def test_a_missing_prediction_scores_0_also_where_nothing_sounds():
    items = [video([[[1, 0]], [[0, 0]]], "a"), video([[[1, 0]], [[0, 0]]], "b")]
    result = evaluate_audio_visual(items, {"b": np.array([[[1.0, 0]], [[0, 0]]])})
    assert both(result) == {"m_j": 0.5, "m_f": 0.5}
    assert result.per_video["is_predicted"].tolist() == [False, True]
    assert result.per_video["mean_iou"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
def test_values_are_probabilities(bad):
    with pytest.raises(ValueError, match=r"^prediction of 'v' must lie in \[0, 1\] and be finite\.$"):
        evaluate_audio_visual([video(np.ones((1, 2, 2)))], {"v": np.full((1, 2, 2), bad)})


def test_input_is_checked():
    mask = video(np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match=r"^no videos to score; refusing to report a metric over nothing\.$"):
        evaluate_audio_visual([], {})
    with pytest.raises(ValueError, match=r"^video 'v' stands twice; ids must be unique\.$"):
        evaluate_audio_visual([mask, mask], {})
    with pytest.raises(ValueError, match=r"^prediction of unknown video 'z'; expected one of 1\.$"):
        evaluate_audio_visual([mask], {"z": np.ones((1, 2, 2))})
    with pytest.raises(TypeError, match=r"^prediction of 'v' must be floating, got bool\.$"):
        evaluate_audio_visual([mask], {"v": np.ones((1, 2, 2), dtype=bool)})
    with pytest.raises(
        ValueError, match=r"^prediction of 'v' must have shape \(1, 2, 2\), got \(1, 2, 3\)\."
    ):
        evaluate_audio_visual([mask], {"v": np.ones((1, 2, 3))})
    with pytest.raises(TypeError, match=r"^mask_FHW of video 'v' must be bool, got uint8\.$"):
        SoundingVideo(video_id="v", mask_FHW=np.ones((1, 2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"^mask_FHW of video 'v' must have frames, height and width, got "):
        SoundingVideo(video_id="v", mask_FHW=np.zeros((0, 2, 2), dtype=bool))
