import dataclasses

import numpy as np
import pytest

from evaluation.bootstrap import difference, draw_weights
from evaluation.confusion import Confusion
from tasks.report.comparison_sources import ComparisonSources, IntervalRule, read_comparison
from tasks.report.comparison_tables import (
    MOST_CELLS,
    class_lines,
    matrix_rows,
    metric_sections,
    pair_lines,
    reach_of,
    tally,
)
from tasks.report.sources import ReportInputs
from tests.tasks.report.comparison_case import compared


@pytest.fixture(scope="module")
def sources(challenger: ReportInputs, champion: ReportInputs) -> ComparisonSources:
    return read_comparison(compared(challenger, champion))


def confusion(counts: list[list[int]], *names: str) -> Confusion:
    return Confusion(categories=names, counts=np.array(counts), at_least=0.5)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_are_the_gate_s_own(sources: ComparisonSources, method: str) -> None:
    rule = IntervalRule(method=method, alpha=0.1, resamples=150, seed=3)
    sections = metric_sections(dataclasses.replace(sources, rule=rule))
    weights = draw_weights(5, resamples=150, seed=3)
    mine, theirs = sources.candidate.tables, sources.champion.tables
    expected = difference(mine, theirs, "mask.ap", weights, alpha=0.1, method=method)
    [line] = [line for section in sections for line in section.lines if line.name == "mask.ap"]
    assert line.difference is not None
    assert line.difference.value == pytest.approx(expected.value)
    assert line.difference.interval == (expected.low, expected.high)
    assert reach_of(sections) >= 1.05 * max(abs(expected.low), abs(expected.high)) - 1e-12


def test_groups_and_digits(sources: ComparisonSources) -> None:
    sections = metric_sections(sources)
    assert [section.name for section in sections] == ["Masks", "Boxes", "Counts"]
    [count] = sections[-1].lines
    assert (count.label, count.digits) == ("Detections per image", 1)
    assert sections[0].lines[0].digits == 3
    assert "\u00b2" in next(line for line in sections[0].lines if line.name == "mask.ap_small").note


def test_fewer_is_better_where_the_definition_says_so(sources: ComparisonSources) -> None:
    doubled = sources.champion.tables.per_image.assign(num_detections=lambda table: 50)
    tables = dataclasses.replace(sources.champion.tables, per_image=doubled)
    changed = dataclasses.replace(sources, champion=dataclasses.replace(sources.champion, tables=tables))
    line = metric_sections(changed)[-1].lines[0]
    assert line.difference is not None
    assert line.difference.interval is not None
    assert line.difference.interval[1] < 0
    assert (line.difference.tone, line.difference.word) == ("up", "better")


def test_a_metric_that_one_side_lacks_has_no_difference(sources: ComparisonSources) -> None:
    metrics = dict(sources.champion.metrics)
    metrics["metrics"] = [entry for entry in metrics["metrics"] if entry["name"] != "mask.ap50"]
    champion = dataclasses.replace(sources.champion, metrics=metrics)
    sections = metric_sections(dataclasses.replace(sources, champion=champion))
    line = next(line for line in sections[0].lines if line.name == "mask.ap50")
    assert (line.champion, line.difference) == (None, None)


def test_the_tally_counts_intervals_only(sources: ComparisonSources) -> None:
    sections = metric_sections(sources)
    drawn = [line for section in sections for line in section.lines if line.difference]
    with_interval = [line for line in drawn if line.difference and line.difference.interval]
    assert sum(tally(sections)) == len(with_interval) < len(drawn)


def test_one_image_has_no_interval(sources: ComparisonSources) -> None:
    def first(model):
        matches = model.tables.matches
        tables = dataclasses.replace(
            model.tables, per_image=model.tables.per_image[:1], matches=matches[matches["image_id"] == 2]
        )
        return dataclasses.replace(model, tables=tables)

    alone = dataclasses.replace(sources, candidate=first(sources.candidate), champion=first(sources.champion))
    assert tally(metric_sections(alone)) == (0, 0, 0)


def test_the_largest_loss_comes_first(sources: ComparisonSources) -> None:
    lines = class_lines(sources)
    assert sorted(line.name for line in lines) == ["circle", "square", "triangle"]
    assert [line.difference for line in lines] == sorted(line.difference for line in lines)
    assert sum(line.regions for line in lines) == sources.candidate.tables.per_image["num_regions"].sum()


def test_a_matrix_shares_rows_and_false_alarms_share_columns() -> None:
    rows = matrix_rows(confusion([[6, 2, 2], [0, 0, 0], [2, 0, 0]], "cat", "dog"))
    assert rows[0].cells == ((6, 0.6, "right"), (2, 0.2, "wrong"), (2, 0.2, "wrong"))
    assert rows[1].cells == ((0, 0.0, "wrong"), (0, 0.0, "right"), (0, 0.0, "wrong"))
    assert rows[2].name is None
    assert rows[2].cells == ((2, 0.25, "wrong"), (0, 0.0, "wrong"), (0, 0.0, "void"))


def test_pairs_of_both_models_largest_first() -> None:
    mine = confusion([[5, 1, 3], [2, 5, 0], [4, 0, 0]], "cat", "dog")
    theirs = confusion([[5, 0, 9], [2, 5, 1], [0, 0, 0]], "cat", "dog")
    named = pair_lines(mine, theirs, background=False)
    assert [(line.true, line.predicted, line.candidate, line.champion) for line in named] == [
        ("dog", "cat", 2, 2),
        ("cat", "dog", 1, 0),
    ]
    others = pair_lines(mine, theirs, background=True)
    assert [(line.true, line.predicted, line.candidate, line.champion) for line in others] == [
        ("cat", None, 3, 9),
        (None, "cat", 4, 0),
        ("dog", None, 0, 1),
    ]


def test_no_more_cells_than_a_reader_reads() -> None:
    names = [f"class {number}" for number in range(80)]
    counts = np.random.default_rng(0).integers(0, 9, size=(81, 81))
    lines = pair_lines(confusion(counts, *names), confusion(counts, *names), background=False)
    assert len(lines) == MOST_CELLS
    assert {line.candidate for line in lines} == {8}
