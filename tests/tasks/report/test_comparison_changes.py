import pytest

from tasks.report.comparison_changes import choose_changes, draw_changes
from tasks.report.comparison_sources import ComparisonSources, read_comparison
from tasks.report.sources import ReportInputs
from tests.tasks.report.comparison_case import compared


@pytest.fixture(scope="module")
def sources(challenger: ReportInputs, champion: ReportInputs) -> ComparisonSources:
    return read_comparison(compared(challenger, champion))


def test_images_without_a_change_are_left_out(champion: ReportInputs, sources: ComparisonSources) -> None:
    assert choose_changes(read_comparison(compared(champion, champion)), count=5) == []
    chosen = choose_changes(sources, count=2)
    assert len(chosen) == 2
    assert abs(chosen[0].difference) >= abs(chosen[1].difference) > 0


def test_every_region_says_who_found_it(sources: ComparisonSources, challenger: ReportInputs) -> None:
    for item in draw_changes(challenger.dataset, choose_changes(sources, count=5), sources):
        both, only_a, only_b, neither = item.found
        assert both + only_a == item.scores[0].hits
        assert both + only_b == item.scores[1].hits
        assert sum(item.found) == item.scores[0].regions == len(item.true)
        kinds = [contour.kind for contour in item.true]
        assert [kinds.count(kind) for kind in ("both", "only-a", "only-b", "miss")] == list(item.found)
        for score, contours in zip(item.scores, (item.candidate, item.champion), strict=True):
            drawn = [contour.kind for contour in contours]
            assert (drawn.count("hit"), drawn.count("false")) == (score.hits, score.false_alarms)
            assert drawn == sorted(drawn, reverse=True)  # mistakes are drawn last
        assert neither == kinds.count("miss")
        assert all(" found by " in contour.title for contour in item.true)


def test_crowds_are_neither_found_nor_missed() -> None:
    from tasks.report.comparison_changes import _finders

    assert _finders(False, False, is_crowd=True) == "crowd"
    assert _finders(False, False, is_crowd=False) == "miss"
    assert _finders(True, False, is_crowd=False) == "only-a"
