"""Rows, parts and charts say what the per-expression table says."""

import dataclasses

import numpy as np
import pytest

from tasks.report import referring_tables as rows
from tasks.report.referring_sources import read_sources
from tests.tasks.report.referring_pages import make_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return {
        kind: make_inputs(tmp_path_factory.mktemp(kind), kind, absent=int(kind == "masks"))
        for kind in ("boxes", "masks")
    }


@pytest.fixture(scope="module")
def boxes(inputs):
    return read_sources(inputs["boxes"])


@pytest.fixture(scope="module")
def masks(inputs):
    return read_sources(inputs["masks"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ref_box.accuracy_50", "Accuracy at IoU .50"),
        ("ref_mask.precision_95", "Precision at IoU .95"),
        ("ref_box.mean_iou", "Mean IoU"),
        ("ref_box.oracle_50", "Any box right at .50"),
        ("ref_mask.ciou", "cIoU"),
        ("ref_mask.n_acc", "N-acc"),
        ("ref_mask.answered", "Answered"),
    ],
)
def test_labels(name, words):
    assert rows.label(name) == words


def test_every_metric_has_a_row(boxes):
    every, at_threshold = rows.metric_groups(boxes)
    names = [row.name for row in (*every.rows, *at_threshold.rows)]
    assert sorted(names) == sorted(boxes.models[0].values)
    assert len(at_threshold.rows) == 10
    row = next(row for row in every.rows if row.name == "ref_box.mean_iou")
    assert row.change.value == pytest.approx(row.value - row.champion)
    assert row.change.interval[0] <= row.change.value <= row.change.interval[1]
    assert (row.change.margin, row.change.tone) == (0.0, "up")
    assert row.interval[0] <= row.value <= row.interval[1]
    assert next(row for row in every.rows if row.name == "ref_box.answered").change.margin is None


def test_a_worse_model_is_marked(inputs):
    turned = dataclasses.replace(
        inputs["boxes"],
        candidate=inputs["boxes"].champion,
        champion=inputs["boxes"].candidate,
        decision=None,
    )
    group, _ = rows.metric_groups(read_sources(turned))
    tones = {row.name: row.change.tone for row in group.rows}
    assert tones["ref_box.mean_iou"] == "down"


def test_one_model_has_no_change(inputs):
    alone = read_sources(dataclasses.replace(inputs["boxes"], champion=None, decision=None))
    groups = rows.metric_groups(alone)
    assert all(row.change is None and row.champion is None for group in groups for row in group.rows)
    assert rows.agreement(alone) is None
    tile = rows.tiles(alone, groups)[0]
    assert (tile.name, tile.tone) == ("Accuracy at IoU .50", "quiet")
    assert " to " in tile.note


def test_tiles(boxes, masks):
    assert [tile.name for tile in rows.tiles(boxes, rows.metric_groups(boxes))] == [
        "Accuracy at IoU .50",
        "Accuracy at IoU .75",
        "Mean IoU",
        "Answered",
    ]
    names = [tile.name for tile in rows.tiles(masks, rows.metric_groups(masks))]
    assert names == ["gIoU", "cIoU", "Precision at IoU .50", "N-acc", "Answered"]
    assert rows.tiles(masks, rows.metric_groups(masks))[0].note.endswith(" to old")


def test_limits_and_comparisons(boxes):
    (limit,), (compared,) = rows.limits(boxes.decision), rows.comparisons(boxes.decision)
    assert (limit.label, limit.bound, limit.outcome) == ("Answered", "at least 0.500", "met")
    assert (compared.label, compared.outcome) == ("Mean IoU", "better")


def test_thresholds(boxes, masks):
    for sources, name in ((boxes, "ref_box.accuracy_"), (masks, "ref_mask.precision_")):
        chart = rows.thresholds(sources)
        assert [line.name for line in chart.lines] == ["new", "old"]
        for line, model in zip(chart.lines, sources.models, strict=True):
            assert line.points[0] == (0.5, model.values[f"{name}50"])
            assert len(line.points) == 10


def test_agreement_counts_every_expression(boxes):
    chart = rows.agreement(boxes)
    values = [bars[0].value for _, _, bars in chart.groups]
    assert sum(values) == pytest.approx(1.0)
    new, old = (model.table["right_50"] for model in boxes.models)
    assert values[1] == (new & ~old).mean()
    assert [label for label, _, _ in chart.groups] == ["both", "new alone", "old alone", "neither"]
    renamed = dataclasses.replace(boxes.models[0], name="a-model-of-a-long-name")
    longer = rows.agreement(dataclasses.replace(boxes, models=(renamed, boxes.models[1])))
    assert longer.groups[1][0] == "a-model-of-… alone"


def test_parts_are_the_table_again(boxes):
    by = {item.slug: item for item in rows.breakdowns(boxes)}
    assert set(by) == {"length", "size", "distractors"}
    for item in by.values():
        assert sum(part.count for part in item.parts) == 30
        total = sum(part.count * part.right[0] for part in item.parts)
        assert total == pytest.approx(boxes.models[0].table["right_50"].sum())
    short = [number for number, record in boxes.records.items() if len(record.expression.split()) < 3]
    part = by["length"].parts[0]
    assert (part.label, part.count) == ("1 or 2", len(short))
    assert part.mean_iou == tuple(
        pytest.approx(np.mean([model.rows[number]["iou"] for number in short])) for model in boxes.models
    )


def test_nothing_is_a_part_of_its_own(masks):
    by = {item.slug: item for item in rows.breakdowns(masks)}
    none, one = by["targets"].parts
    assert (none.label, none.count, one.count) == ("no region", 10, 20)
    assert none.right[0] == pytest.approx(masks.models[0].values["ref_mask.n_acc"])
    assert one.right[0] == pytest.approx(masks.models[0].values["ref_mask.precision_50"])
    assert sum(part.count for part in by["size"].parts) == 20


def test_parts_as_a_chart(boxes):
    item = rows.breakdowns(boxes)[0]
    chart = rows.parted_chart(item, ["new", "old"])
    assert chart.legend == (("new", 0), ("old", 1))
    label, second, bars = chart.groups[0]
    assert (label, second) == ("1 or 2", f"n = {item.parts[0].count}")
    assert [bar.value for bar in bars] == list(item.parts[0].right)
    assert rows.parted_chart(item, ["new"]).legend == ()
