import dataclasses

import pytest

from evaluation.changes import Agreement
from tasks.report.comparison_numbers import ComparisonNumbers, compute
from tasks.report.comparison_sources import ComparisonSources, IntervalRule, read_comparison
from tasks.report.comparison_tables import Difference, MetricLine, MetricSection
from tasks.report.comparison_wording import agreement_words, comparison_words
from tasks.report.sources import ReportInputs
from tests.tasks.report.comparison_case import compared


@pytest.fixture(scope="module")
def case(challenger: ReportInputs, champion: ReportInputs) -> tuple[ComparisonSources, ComparisonNumbers]:
    sources = read_comparison(compared(challenger, champion))
    return sources, compute(sources)


def line(tone: str, *, has_interval: bool = True) -> MetricLine:
    interval = (0.1, 0.2) if has_interval else None
    return MetricLine(
        name="mask.ap",
        label="AP",
        note="",
        unit="fraction",
        candidate=0.5,
        champion=0.4,
        difference=Difference(value=0.1, interval=interval, tone=tone),
        count=3,
    )


@pytest.mark.parametrize(
    ("tones", "sentence"),
    [
        (["up", "up", "down", "quiet"], "A is better in 2 of 4 metrics, worse in 1; 1 interval holds zero."),
        (["up", "up"], "A is better in 2 of 2 metrics, worse in none."),
        (["down", "quiet", "quiet"], "A is better in none of 3 metrics, worse in 1; 2 intervals hold zero."),
        (["quiet"], "A and B cannot be told apart on these 5 images: every interval holds zero."),
        ([], "Nothing can be told about the differences on 5 images."),
    ],
)
def test_the_first_sentence(
    case: tuple[ComparisonSources, ComparisonNumbers],
    challenger: ReportInputs,
    champion: ReportInputs,
    tones: list[str],
    sentence: str,
) -> None:
    sources, numbers = case
    lines = (*map(line, tones), line("quiet", has_interval=False))
    changed = dataclasses.replace(numbers, sections=[MetricSection(name="Masks", lines=lines)])
    words = comparison_words(compared(challenger, champion), sources, changed, changed=0)
    assert words["sentence"] == sentence


def test_leads_say_how_numbers_were_made(
    case: tuple[ComparisonSources, ComparisonNumbers], challenger: ReportInputs, champion: ReportInputs
) -> None:
    sources, numbers = case
    ruled = dataclasses.replace(sources, rule=IntervalRule(method="bca", alpha=0.1, resamples=2000, seed=9))
    words = comparison_words(compared(challenger, champion, seed=4), ruled, numbers, changed=3)
    assert "its 90 % interval: the 5 images were drawn anew 2,000 times" in words["metrics_lead"]
    assert "(BCa bootstrap, seed 9)" in words["metrics_lead"]
    best = numbers.candidate.best
    assert best is not None
    assert f"A at score {best.score:.2f} and B at score" in words["confusion_lead"]
    assert words["changes_title"] == "The 3 images that changed most"
    assert ("changes", "Changes") in words["sections"]
    assert "at random with seed 4." in words["crop_kinds"][0][3]
    definitions = dict(words["definitions"])
    assert "arXiv 1706.04599" in definitions["Calibration"]
    assert "arXiv 2004.13546" in definitions["Calibration"]
    assert sources.candidate.metrics["definition_sha256"] in definitions["Definition"]


def test_sections_without_content_are_not_named(
    case: tuple[ComparisonSources, ComparisonNumbers], challenger: ReportInputs, champion: ReportInputs
) -> None:
    sources, numbers = case
    alone = dataclasses.replace(numbers, classes=numbers.classes[:1])
    words = comparison_words(compared(challenger, champion), sources, alone, changed=0)
    slugs = [slug for slug, _ in words["sections"]]
    assert "classes" not in slugs
    assert "changes" not in slugs
    assert "sizes" in slugs


def test_the_parts_of_the_regions(case: tuple[ComparisonSources, ComparisonNumbers]) -> None:
    _, numbers = case
    parts = Agreement(both=1500, only_candidate=250, only_other=0, neither=250)
    assert agreement_words(dataclasses.replace(numbers, agreement=parts)) == [
        ("found by both", "1\u202f500", "75.0 %"),
        ("only by A", "250", "12.5 %"),
        ("only by B", "0", "0.0 %"),
        ("by neither", "250", "12.5 %"),
    ]
    nothing = Agreement(both=0, only_candidate=0, only_other=0, neither=0)
    assert agreement_words(dataclasses.replace(numbers, agreement=nothing)) == []
