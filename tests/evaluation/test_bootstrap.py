import dataclasses

import numpy as np
import pytest

from evaluation.bootstrap import (
    counted,
    definition_behind,
    difference,
    draw_weights,
    image_ids,
    interval,
    on_images,
    recompute,
    supports,
)
from evaluation.definition import DETECTION
from evaluation.detection import evaluate
from evaluation.ref_boxes import REF_BOXES
from evaluation.tables import Tables, build_tables
from tests.evaluation.expression_scenes import simulate_boxes
from tests.evaluation.scenes import coco100, nuclei, simulate

NAMES = [spec.name for spec in DETECTION.metrics if supports(spec.name)]


def resampled(items, counts):
    """Build the dataset that a resample stands for: image i occurs counts[i] times under new ids."""
    out = []
    for item, count in zip(items, counts, strict=True):
        out += [dataclasses.replace(item, image_id=len(out) + 1 + copy) for copy in range(count)]
    return out


@pytest.mark.parametrize("scene", [lambda: coco100("mask"), nuclei], ids=["coco", "nuclei"])
def test_weights_mean_what_a_resampled_dataset_scores(scene):
    _, _, truths, detections, names = scene()
    generator = np.random.default_rng(1)
    # Scores without ties, so that the order of the copies decides nothing.
    detections = [dataclasses.replace(item, scores=generator.random(len(item.scores))) for item in detections]
    tables = build_tables(truths, detections, categories=names)
    counts = draw_weights(len(truths), resamples=1, seed=5)
    copies = counts[0].astype(int)
    assert copies.max() > 1
    assert copies.min() == 0
    result = evaluate(resampled(truths, copies), resampled(detections, copies), categories=names)
    for metric in result.metrics:
        if supports(metric.name):
            value = float(recompute(tables, metric.name, counts)[0])
            assert value == pytest.approx(metric.value, abs=1e-9), metric.name


def test_resamples_draw_as_many_images_as_there_are_and_repeat_with_the_seed():
    weights = draw_weights(39, resamples=50, seed=3)
    assert weights.shape == (50, 39)
    assert (weights.sum(axis=1) == 39).all()
    np.testing.assert_array_equal(weights, draw_weights(39, resamples=50, seed=3))
    assert (weights != draw_weights(39, resamples=50, seed=4)).any()


def test_many_resamples_at_once_are_the_same_as_one_by_one(monkeypatch):
    tables, weights = simulate(0), draw_weights(39, resamples=20, seed=3)
    together = recompute(tables, "mask.ap50", weights)
    np.testing.assert_array_equal(
        together, [recompute(tables, "mask.ap50", weights[b : b + 1])[0] for b in range(20)]
    )
    monkeypatch.setattr("evaluation.weighted._ROWS", 1)
    np.testing.assert_array_equal(together, recompute(tables, "mask.ap50", weights))


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_holds_the_value(name):
    tables = simulate(0)
    result = interval(tables, name, draw_weights(39, resamples=300, seed=0), alpha=0.05)
    assert result.low <= result.value <= result.high
    assert result.low < result.high


def test_the_interval_of_a_mean_is_the_textbook_one():
    tables = simulate(0, images=400)
    result = interval(tables, "detections_per_image", draw_weights(400, resamples=2000, seed=0), alpha=0.05)
    counts = tables.per_image["num_detections"]
    half = 1.96 * counts.std() / 20
    assert result.low == pytest.approx(counts.mean() - half, rel=0.02)
    assert result.high == pytest.approx(counts.mean() + half, rel=0.02)


def test_pairing_narrows_the_interval():
    weak, strong = simulate(1, found=0.70), simulate(2, found=0.75)
    weights = draw_weights(39, resamples=500, seed=0)
    paired = difference(strong, weak, "mask.recall50", weights, alpha=0.05)
    alone = interval(strong, "mask.recall50", weights, alpha=0.05)
    assert paired.value == pytest.approx(
        alone.value - interval(weak, "mask.recall50", weights, alpha=0.05).value
    )
    assert paired.high - paired.low < alone.high - alone.low
    assert difference(weak, weak, "mask.recall50", weights, alpha=0.05).high == 0.0


def test_what_cannot_be_recomputed_is_refused():
    tables, weights = simulate(0), draw_weights(39, resamples=5, seed=0)
    with pytest.raises(
        ValueError, match=r"^'mask\.ap_small' cannot be recomputed from the tables; known: \["
    ):
        recompute(tables, "mask.ap_small", weights)
    with pytest.raises(ValueError, match=r"^weights must have shape \(B, 39\), got \(5, 38\)\.$"):
        recompute(tables, "mask.ap50", weights[:, 1:])
    with pytest.raises(ValueError, match=r"^alpha must lie between 0 and 1, got 1\.0\.$"):
        interval(tables, "mask.ap50", weights, alpha=1.0)
    with pytest.raises(ValueError, match=r"^candidate and champion were evaluated on different images\.$"):
        difference(tables, simulate(0, images=38), "mask.ap50", weights, alpha=0.05)


@pytest.mark.parametrize("name", ["mask.ap50", "mask.recall50", "mask.matched_iou"])
def test_a_resample_without_regions_has_no_value(name):
    with pytest.raises(ValueError, match=r"^1 of 2 resamples hold no region\.$"):
        recompute(simulate(0, images=2), name, np.array([[1.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("name", ["mask.recall50", "detections_per_image"])
def test_bca_of_a_symmetric_spread_is_near_the_percentiles(name):
    strong, weak = simulate(2, found=0.8), simulate(1, found=0.7)
    weights = draw_weights(39, resamples=2000, seed=0)
    plain = difference(strong, weak, name, weights, alpha=0.05)
    bca = difference(strong, weak, name, weights, alpha=0.05, method="bca")
    assert bca.value == plain.value
    width = plain.high - plain.low
    assert bca.low == pytest.approx(plain.low, abs=0.15 * width)
    assert bca.high == pytest.approx(plain.high, abs=0.15 * width)
    assert (bca.low, bca.high) != (plain.low, plain.high)


def test_a_model_against_itself_differs_by_nothing():
    tables, weights = simulate(0), draw_weights(39, resamples=100, seed=0)
    result = difference(tables, tables, "mask.ap50", weights, alpha=0.05, method="bca")
    assert (result.low, result.value, result.high) == (0.0, 0.0, 0.0)


def test_expressions_are_drawn_by_image():
    boxes = simulate_boxes(0, images=400)
    weights = draw_weights(400, resamples=1000, seed=0)
    result = interval(boxes, "ref_box.accuracy_50", weights, alpha=0.05)
    table = boxes.per_expression
    # The textbook spread of a ratio of means over clusters.
    share = table["right_50"].mean()
    rest = (table["right_50"] - share).groupby(table["image_id"]).sum()
    half = 1.96 * np.sqrt((rest**2).sum()) / len(table)
    assert result.low == pytest.approx(share - half, abs=0.1 * half)
    assert result.high == pytest.approx(share + half, abs=0.1 * half)
    with pytest.raises(
        ValueError, match=r"^'mask\.ap50' cannot be recomputed from the tables; known: \['ref_b"
    ):
        recompute(boxes, "mask.ap50", weights)


def test_what_a_metric_rests_on_is_counted():
    tables = simulate(0, images=6)
    assert counted(tables, "detections_per_image") == (6, 6)
    assert counted(tables, "mask.ap50") == (6, tables.per_image["num_regions"].sum())
    boxes = simulate_boxes(0, images=6)
    assert counted(boxes, "ref_box.mean_iou") == (6, len(boxes.per_expression))
    assert (definition_behind(tables), definition_behind(boxes)) == (DETECTION, REF_BOXES)
    assert image_ids(boxes).tolist() == [1, 2, 3, 4, 5, 6]


def test_a_metric_on_single_images():
    tables = simulate(0, images=6)
    rows = tables.per_image.set_index("image_id")
    values = on_images(tables, "mask.recall50", (5, 2, 77))
    assert values == {i: pytest.approx(rows["mask_tp50"][i] / rows["num_regions"][i]) for i in (2, 5)}
    assert on_images(tables, "mask.recall50", (77,)) == {}
    images = tables.per_image.copy()
    images.loc[1, ["num_regions", "num_regions.nucleus"]] = 0
    bare = Tables(per_image=images, matches=tables.matches)
    assert list(on_images(bare, "mask.recall50", (2, 5))) == [5]
    boxes = simulate_boxes(0, images=6)
    table = boxes.per_expression
    assert on_images(boxes, "ref_box.mean_iou", (3,)) == {
        3: pytest.approx(table["iou"][table["image_id"] == 3].mean())
    }
