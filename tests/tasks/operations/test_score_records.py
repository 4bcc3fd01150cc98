"""What a score depends on, by kind."""

from pathlib import Path

from tasks.operations.score_records import ScoreRequest


def test_the_files_of_a_score():
    base = {"truth": Path("t.json"), "predictions": Path("p.json")}
    assert ScoreRequest(kind="pope", **base).inputs == base
    panoptic = ScoreRequest(kind="panoptic", **base, predicted_maps=Path("maps"))
    assert panoptic.inputs == {**base, "truth_maps": Path("t"), "predicted_maps": Path("maps")}
    regions = ScoreRequest(kind="regions", **base, embedder=Path("e"), images=Path("i"))
    # The images are shown, not scored: no number depends on them.
    assert regions.inputs == {**base, "embedder": Path("e")}
