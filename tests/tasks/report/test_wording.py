import dataclasses

from tasks.report.sources import ReportInputs, read_sources
from tasks.report.wording import page_words


def test_words_follow_the_inputs(challenger: ReportInputs) -> None:
    sources = read_sources(challenger)
    words = page_words(challenger, sources)
    assert words["against"] == "compared with champion 3"
    assert words["metrics_lead"] == (
        "Split \u201cval\u201d; 5 of 5 images were scored. Below each value its 95 % interval: "
        "the images were drawn anew 200 times (bootstrap)."
    )
    assert words["random_lead"] == "Nobody chose them: drawn from 5 images with seed 7."
    assert [slug for slug, _ in words["sections"]][:3] == ["metrics", "gate", "curves"]
    assert dict(words["definitions"])["Intervals"].startswith("Percentile bootstrap over images; ")
    corrected = dataclasses.replace(sources, decision=sources.decision | {"interval": "bca"})
    assert dict(page_words(challenger, corrected)["definitions"])["Intervals"].startswith(
        "Bias-corrected and accelerated (BCa) bootstrap over images; "
    )
    alone = page_words(challenger, dataclasses.replace(sources, history=(), champion_curves=None))
    assert "training" not in dict(alone["sections"])
    assert "dashed" not in alone["curves_lead"]
