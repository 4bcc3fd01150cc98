import numpy as np
import pytest

from evaluation.operating import OperatingCurve, operating_curve
from tasks.report.comparison_figures import f1_over_score, precision_recall, sizes
from tasks.report.comparison_sources import ComparisonSources, read_comparison
from tasks.report.sources import ReportInputs
from tests.tasks.report.comparison_case import compared


@pytest.fixture(scope="module")
def sources(challenger: ReportInputs, champion: ReportInputs) -> ComparisonSources:
    return read_comparison(compared(challenger, champion))


def curve(score: list[float], f1: list[float]) -> OperatingCurve:
    return OperatingCurve(
        score=np.array(score),
        precision=np.array(f1),
        recall=np.array(f1),
        f1=np.array(f1),
        detections=np.arange(1, len(f1) + 1),
    )


def test_models_differ_in_colour_and_in_dashes(sources: ComparisonSources) -> None:
    charts = precision_recall(sources)
    assert [chart.slug for chart in charts] == [
        "precision-recall-mask-50",
        "precision-recall-mask-75",
        "precision-recall-box-50",
        "precision-recall-box-75",
    ]
    for chart in charts:
        assert [(line.name, line.tone, line.dashed) for line in chart.lines] == [
            ("A", 0, False),
            ("B", 2, True),
        ]


def test_f1_is_a_staircase_with_a_dot_at_its_best(sources: ComparisonSources) -> None:
    [chart] = f1_over_score({"mask": [curve([0.8, 0.4], [0.5, 0.7]), curve([0.6], [0.3])]})
    assert chart.lines[0].points == ((0.0, 0.7), (0.4, 0.7), (0.4, 0.5), (0.8, 0.5), (0.8, 0.0), (1.0, 0.0))
    assert chart.lines[0].dots == ((0.4, 0.7),)
    real = operating_curve(sources.candidate.tables, "mask")
    [chart] = f1_over_score({"mask": [real, real]})
    assert max(y for _, y in chart.lines[0].points) == pytest.approx(real.best().f1, abs=2e-3)


def test_many_steps_become_no_more_than_a_screen_shows() -> None:
    scores = np.linspace(1.0, 0.0, 20_000, endpoint=False)
    steep = curve(scores.tolist(), (1 - scores).tolist())
    [chart] = f1_over_score({"box": [steep, steep]})
    assert len(chart.lines[0].points) < 2500


def test_a_model_without_detections_has_no_curve() -> None:
    assert f1_over_score({"mask": [curve([], []), curve([], [])]}) == []
    [chart] = f1_over_score({"mask": [curve([], []), curve([0.5], [0.5])]})
    assert [line.name for line in chart.lines] == ["B"]


def test_sizes_hold_a_bar_for_a_and_a_line_for_b(sources: ComparisonSources) -> None:
    by_range, by_side = sizes(sources)
    assert by_range.slug == "ap-by-size"
    small = next(bars for label, _, bars in by_range.groups if label == "small")
    assert small[0].value == sources.candidate.values["mask.ap_small"]
    assert small[0].reference == sources.champion.values["mask.ap_small"]
    regions = int(sources.candidate.tables.per_image["num_regions"].sum())
    assert sum(int(count) for _, count, _ in by_side.groups) == regions
    for _, _, (bar,) in by_side.groups:
        assert bar.value is not None
        assert bar.reference is not None
