import math

import pytest

from tasks.report.figures import average_precision_by_size, precision_recall, recall_by_size, training

CURVES = {
    "recall": [0.0, 0.5, 1.0],
    "precision_recall": [
        {"kind": "mask", "iou": 0.75, "precision": [0.5, 0.0, 0.0], "score": [0.9, 0.0, 0.0]},
        {"kind": "mask", "iou": 0.5, "precision": [1.0, 0.8, 0.0], "score": [0.9, 0.5, 0.0]},
        {"kind": "box", "iou": 0.5, "precision": [], "score": []},
    ],
    "sizes": [
        {"side_px": [0, 8], "regions": 4, "box_found50": 2, "mask_found50": 1},
        {"side_px": [8, 16], "regions": 0, "box_found50": 0, "mask_found50": 0},
        {"side_px": [96, None], "regions": 2, "box_found50": 2, "mask_found50": 2},
    ],
}


def test_curves_end_where_recall_ends_and_the_champion_is_dashed() -> None:
    (chart,) = precision_recall(CURVES, CURVES)
    assert [(line.name, line.dashed, line.tone) for line in chart.lines] == [
        ("IoU 0.50", False, 0),
        ("IoU 0.75", False, 1),
        ("champion, IoU 0.50", True, 0),
        ("champion, IoU 0.75", True, 1),
    ]
    assert chart.lines[1].points == ((0.0, 0.5), (0.5, 0.0))


def test_recall_by_size_leaves_out_empty_bins() -> None:
    chart = recall_by_size(CURVES, None)
    assert chart is not None
    assert [(label, second, bars[0].value) for label, second, bars in chart.groups] == [
        ("0 to 8", "4", 0.25),
        ("96+", "2", 1.0),
    ]
    assert recall_by_size({"sizes": []}, None) is None


def test_average_precision_by_size_shows_what_is_undefined() -> None:
    metrics = {"metrics": [{"name": "mask.ap_small", "value": 0.2}, {"name": "box.ap_small", "value": 0.3}]}
    chart = average_precision_by_size(metrics, {"metrics": [{"name": "mask.ap_small", "value": 0.1}]})
    assert chart is not None
    small, medium, _ = chart.groups
    assert [(bar.value, bar.reference) for bar in small[2]] == [(0.2, 0.1), (0.3, None)]
    assert medium[1] == "no such region"
    assert average_precision_by_size({"metrics": []}, None) is None


def test_training_has_one_chart_per_part_of_the_loss_and_one_for_the_rate() -> None:
    history = [
        {"step": step, "loss": 1.0 / step, "loss_box": 0.5 / step, "learning_rate": 0.01, "seconds": step}
        for step in range(1, 1001)
    ]
    charts = training(history)
    assert [chart.title for chart in charts] == ["Loss", "Loss: box", "Learning rate"]
    smooth, raw = charts[0].lines
    assert len(raw.points) == len(smooth.points) <= 400
    assert raw.points[0] == pytest.approx((2.0, (1 + 1 / 2 + 1 / 3) / 3))


def test_training_survives_gaps_and_needs_two_points() -> None:
    history = [
        {"step": 1, "loss": math.nan},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 3.0, "loss_x": 1.0},
    ]
    (chart,) = training(history)
    assert chart.lines[0].points == ((2.0, 1.0), (3.0, 3.0))
    assert training([]) == []
