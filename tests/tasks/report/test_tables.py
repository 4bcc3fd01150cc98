import dataclasses
import json

import pytest

from tasks.report.sources import ReportInputs, read_sources
from tasks.report.tables import (
    comparison_rows,
    floor_rows,
    full_label,
    interval_text,
    metric_groups,
    not_judged_lines,
    number,
    reach,
    signed,
    tiles,
    whole,
    worst_first,
)


def test_every_metric_of_the_evaluation_has_its_row(challenger: ReportInputs) -> None:
    sources = read_sources(challenger)
    groups = metric_groups(sources)
    assert [group.name for group in groups] == ["Masks", "Boxes", "Counts"]
    rows = {row.name: row for group in groups for row in group.rows}
    assert rows.keys() == {entry["name"] for entry in sources.metrics["metrics"]}
    for entry in sources.decision["comparisons"]:
        change = rows[entry["metric"]].change
        assert change is not None
        assert (change.value, change.interval) == (entry["difference"], tuple(entry["interval"]))
        assert change.margin == entry["margin"]
    ends = [
        abs(end)
        for row in rows.values()
        if row.unit == "fraction" and row.change
        for end in row.change.interval or ()
    ]
    assert reach(groups) > max(ends)
    assert [tile.name for tile in tiles(groups)][:2] == ["Mask matched IoU", "Mask AP50"]


def test_a_champion_with_fewer_metrics_leaves_gaps(challenger: ReportInputs) -> None:
    sources = read_sources(challenger)
    sources = dataclasses.replace(sources, champion_metrics={"metrics": []})
    rows = [row for group in metric_groups(sources) for row in group.rows]
    assert {(row.champion, row.change) for row in rows} == {(None, None)}
    assert reach(metric_groups(sources)) == 1.0


def test_lower_is_better_turns_the_colour(challenger: ReportInputs) -> None:
    sources = read_sources(challenger)
    interval = dataclasses.replace(sources.differences["detections_per_image"], low=1.0, high=2.0)
    sources = dataclasses.replace(sources, differences={"detections_per_image": interval})
    (row,) = metric_groups(sources)[-1].rows
    assert row.change is not None
    assert row.change.tone == "down"


def test_limits_and_comparisons() -> None:
    decision = {
        "floors": [
            {"metric": "mask.ap50", "value": 0.61, "at_least": 0.6, "passed": True},
            {"metric": "mask.recall50", "value": None, "at_least": 0.7, "passed": False},
            {"metric": "detections_per_image", "value": 48.69, "at_most": 150.0, "passed": True},
        ],
        "comparisons": [
            {
                "metric": "mask.ap50",
                "difference": -0.01,
                "interval": [-0.03, 0.01],
                "margin": -0.02,
                "outcome": "inconclusive",
            }
        ],
    }
    assert [(row.label, row.value, row.bound, row.outcome) for row in floor_rows(decision)] == [
        ("Mask AP50", "0.610", "at least 0.600", "met"),
        ("Mask recall", "\u2013", "at least 0.700", "not met"),
        ("Detections per image", "48.7", "at most 150.0", "met"),
    ]
    (row,) = comparison_rows(decision)
    assert (row.difference, row.interval, row.margin, row.tone) == (
        "\u22120.010",
        "\u22120.030 to +0.010",
        "\u22120.020",
        "open",
    )


def test_a_limit_names_its_category_or_image_and_what_was_held_to_it() -> None:
    decision = {
        "floors": [
            {"metric": "box.recall50", "value": 0.5, "at_least": 0.5, "passed": True},
            {"metric": "box.recall50", "value": 0.0, "at_least": 0.1, "category": "<b>cup</b>",
             "objects": 40, "upper": 0.0634, "passed": False},
            {"metric": "mask.recall50", "value": 0.2, "at_least": 0.8, "image_id": 139, "passed": False},
        ]
    }  # fmt: skip
    rows, hidden = worst_first(floor_rows(decision))
    assert hidden == 0
    assert [(row.about, row.value, row.upper, row.tone) for row in rows] == [
        ("category <b>cup</b>, 40 regions", "0.000", "at most 0.063", "bad"),
        ("image 139", "0.200", "", "bad"),
        ("", "0.500", "", "good"),
    ]
    many = {"floors": [decision["floors"][0]] * 60 + [decision["floors"][1]] * 3}
    rows, hidden = worst_first(floor_rows(many))
    assert ([row.tone for row in rows[:4]], len(rows), hidden) == (["bad"] * 3 + ["good"], 40, 23)


def test_categories_that_were_not_judged_are_named() -> None:
    left = [
        {"metric": "box.recall50", "category": name, "objects": count, "min_objects": 25}
        for name, count in (("toaster", 9), ("hair drier", 11))
    ]
    assert not_judged_lines({"not_judged": left}) == [
        "Box recall, fewer than 25 regions: toaster (9), hair drier (11)."
    ]
    assert not_judged_lines({}) == []


@pytest.mark.parametrize("value", [None, True, "0.5", [0.5]])
def test_what_is_no_number_is_a_dash(value: object) -> None:
    assert number(value) == signed(value) == "\u2013"


def test_words_for_numbers() -> None:
    assert interval_text(None) == ""
    assert interval_text((0.1, 0.25), 2) == "0.10 to 0.25"
    assert whole(1937) == "1\u202f937"
    assert [full_label(name) for name in ("box.ap", "mask.iou_at_box_match", "other.new")] == [
        "Box AP",
        "Mask IoU at box match",
        "Other new",
    ]
    assert json.dumps(number(0.5)) == '"0.500"'
