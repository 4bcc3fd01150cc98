"""Segmenting what sounds: M_J and M_F of AVSBench.

Source: Zhou et al., "Audio-Visual Segmentation" (arXiv 2207.05042) and its published evaluation. M_J is the
mean over frames of the IoU at probability 0.5. M_F is the mean over videos of an F-measure with
beta**2 = 0.3: precision and recall of each frame at 255 thresholds, F averaged over the frames of a video,
the best threshold of the video taken.
Differences from the published evaluation: M_J weighs frames alike, where it weighs videos alike (equal as
long as all videos have as many frames); a video without a sounding pixel has no F and is left out, where it
counts as 0; arithmetic is in float64, and the last threshold is 1.

An all-zero prediction has an F above 0, because at threshold 0 every pixel is predicted: that is the measure.

Shape suffixes:
    F = frames of a video   H = height   W = width   T = thresholds
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.answers import definition_of
from evaluation.definition import MetricSpec
from evaluation.values import Found, Values, values_of

BETA_SQUARED: Final = 0.3
THRESHOLDS_T: Final[npt.NDArray[np.float64]] = np.linspace(0.0, 1.0, 255)

AUDIO_VISUAL: Final = definition_of(
    "audio-visual/1",
    conventions=(
        "a pixel is predicted if its probability is above 0.5 (M_J), or at least the threshold (M_F)",
        "M_J of a frame where nothing sounds: share of its pixels that are not predicted",
        "M_F leaves out frames where nothing sounds, and videos that have no other",
        "F is 0 where precision and recall are 0",
        "a video without a prediction scores 0 in both, also in frames where nothing sounds",
    ),
    metrics=(
        MetricSpec(name="audio_visual.m_j", meaning="mean IoU over frames"),
        MetricSpec(name="audio_visual.m_f", meaning="mean over videos of the best mean F over thresholds"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoundingVideo:
    """The frames of one video, with what sounds in each."""

    video_id: str
    mask_FHW: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Refuse what has no pixels to score.

        Raises:
            TypeError: If the mask is not bool.
            ValueError: If it is not of three dimensions, or empty.
        """
        if self.mask_FHW.dtype != np.bool_:
            raise TypeError(f"mask_FHW of video {self.video_id!r} must be bool, got {self.mask_FHW.dtype}.")
        if self.mask_FHW.ndim != 3 or not self.mask_FHW.size:
            raise ValueError(
                f"mask_FHW of video {self.video_id!r} must have frames, height and width, got "
                f"{self.mask_FHW.shape}."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioVisualEvaluation:
    """Both numbers, and the tables that they were computed from."""

    values: Values
    per_frame: pd.DataFrame
    """``video_id``, ``frame`` from 0, ``num_pixels`` that sound, ``iou``."""
    per_video: pd.DataFrame
    """``video_id``, ``num_frames``, ``num_sounding_frames``, ``is_predicted``, ``mean_iou``, ``f`` (absent
    where nothing sounds)."""


def evaluate_audio_visual(
    videos: Sequence[SoundingVideo], probabilities: Mapping[str, npt.NDArray[np.floating[Any]]]
) -> AudioVisualEvaluation:
    """Score the probability maps of every video.

    Args:
        videos: At least one.
        probabilities: Video id -> shape (F, H, W) of the video's mask, values in [0, 1]: after the sigmoid.

    Returns:
        M_J and M_F as fractions; M_F is undefined if nothing sounds in any video.

    Raises:
        ValueError: If there is no video, an id stands twice or is unknown, or a map has another shape or a
            value outside [0, 1].
        TypeError: If a map is not floating.
    """
    if not videos:
        raise ValueError("no videos to score; refusing to report a metric over nothing.")
    known: set[str] = set()
    for video in videos:
        if video.video_id in known:
            raise ValueError(f"video {video.video_id!r} stands twice; ids must be unique.")
        known.add(video.video_id)
    for video_id in probabilities:
        if video_id not in known:
            raise ValueError(f"prediction of unknown video {video_id!r}; expected one of {len(known)}.")
    frames: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for video in videos:
        probability_FHW = _checked(video, probabilities.get(video.video_id))
        iou_F = _jaccard(video.mask_FHW, probability_FHW)
        num_pixels_F = video.mask_FHW.sum(axis=(1, 2))
        rows.append(
            {
                "video_id": video.video_id,
                "num_frames": len(iou_F),
                "num_sounding_frames": int((num_pixels_F > 0).sum()),
                "is_predicted": probability_FHW is not None,
                "mean_iou": float(iou_F.mean()),
                "f": _best_f(video.mask_FHW, probability_FHW),
            }
        )
        numbers = zip(num_pixels_F.tolist(), iou_F.tolist(), strict=True)
        frames += [
            {"video_id": video.video_id, "frame": frame, "num_pixels": num_pixels, "iou": iou}
            for frame, (num_pixels, iou) in enumerate(numbers)
        ]
    return _summary(pd.DataFrame(frames), pd.DataFrame(rows).astype({"f": "Float64"}))


def _summary(per_frame: pd.DataFrame, per_video: pd.DataFrame) -> AudioVisualEvaluation:
    best = per_video["f"].dropna()
    found: dict[str, Found] = {
        "audio_visual.m_j": (float(per_frame["iou"].mean()), len(per_frame)),
        "audio_visual.m_f": (float(best.mean()), len(best)) if len(best) else "nothing sounds in any frame",
    }
    values = values_of(AUDIO_VISUAL, found)
    return AudioVisualEvaluation(values=values, per_frame=per_frame, per_video=per_video)


def _checked(
    video: SoundingVideo, probability_FHW: npt.NDArray[np.floating[Any]] | None
) -> npt.NDArray[np.floating[Any]] | None:
    if probability_FHW is None:
        return None
    if not np.issubdtype(probability_FHW.dtype, np.floating):
        raise TypeError(f"prediction of {video.video_id!r} must be floating, got {probability_FHW.dtype}.")
    if probability_FHW.shape != video.mask_FHW.shape:
        raise ValueError(
            f"prediction of {video.video_id!r} must have shape {video.mask_FHW.shape}, got "
            f"{probability_FHW.shape}."
        )
    if not ((probability_FHW >= 0.0) & (probability_FHW <= 1.0)).all():
        raise ValueError(f"prediction of {video.video_id!r} must lie in [0, 1] and be finite.")
    return probability_FHW


def _jaccard(
    mask_FHW: npt.NDArray[np.bool_], probability_FHW: npt.NDArray[np.floating[Any]] | None
) -> npt.NDArray[np.float64]:
    """Return the IoU of each frame, shape (F,)."""
    if probability_FHW is None:
        return np.zeros(len(mask_FHW))
    predicted_FHW = probability_FHW > 0.5
    sounds_F = mask_FHW.any(axis=(1, 2))
    both_F = (predicted_FHW & mask_FHW).sum(axis=(1, 2))
    either_F = (predicted_FHW | mask_FHW).sum(axis=(1, 2))
    quiet_F = 1.0 - predicted_FHW.mean(axis=(1, 2))
    iou_F: npt.NDArray[np.float64] = np.where(sounds_F, both_F / np.maximum(either_F, 1), quiet_F)
    return iou_F


def _best_f(
    mask_FHW: npt.NDArray[np.bool_], probability_FHW: npt.NDArray[np.floating[Any]] | None
) -> float | None:
    """Return the best mean F over thresholds; None if nothing sounds."""
    sounding = np.flatnonzero(mask_FHW.any(axis=(1, 2)))
    if not len(sounding):
        return None
    if probability_FHW is None:
        return 0.0
    f_FT = np.stack([f_curve(mask_FHW[frame], probability_FHW[frame]) for frame in sounding])
    return float(f_FT.mean(axis=0).max())


def f_curve(
    mask_HW: npt.NDArray[np.bool_], probability_HW: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Return F at each of ``THRESHOLDS_T``, shape (T,), for a mask that is not empty.

    Every pixel is put once among the thresholds that it reaches; the counts at a threshold are then sums
    from the end.
    """
    reached_HW = np.searchsorted(THRESHOLDS_T, probability_HW.astype(np.float64), side="right")
    length = len(THRESHOLDS_T) + 1
    predicted_T = _reaching(reached_HW.ravel(), length)
    right_T = _reaching(reached_HW[mask_HW], length)
    # With P = right / predicted and R = right / truth, F is (1 + b) right / (b truth + predicted).
    f_T: npt.NDArray[np.float64] = (
        (1.0 + BETA_SQUARED) * right_T / (BETA_SQUARED * int(mask_HW.sum()) + predicted_T)
    )
    return np.minimum(f_T, 1.0)  # rounding: of 3 pixels all right, the quotient is 1 + 2e-16


def _reaching(reached: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.int64]:
    """Count the pixels that reach each threshold; ``reached`` is how many thresholds a pixel reaches."""
    count = np.bincount(reached, minlength=length)
    return np.cumsum(count[::-1])[::-1][1:]
