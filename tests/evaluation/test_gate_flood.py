"""Recall bought with boxes that point at nothing: scored from predictions on, judged by ``coco_recall``.

The champion is a set of published detections of 100 COCO images, the challenger the same set and a flood.
"""

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.definition import DETECTION
from evaluation.detection import evaluate
from evaluation.evidence import Evidence
from evaluation.gate import Floor, Policy, Primary, decide
from evaluation.instances import ImageDetections
from tasks.config import load_file
from tests.evaluation.scenes import ROOT, coco100, rle

GATE = dataclasses.replace(
    load_file(ROOT / "configs" / "gates" / "coco_recall.yaml", Policy),
    sample_sizes=(),  # 100 images stand for 5,000
    class_floors=(),  # and 80 categories are too many for them
    resamples=100,
)


def evidence_of(detections, *, sequence=None):
    _, _, truths, _, names = coco100("mask")
    result = evaluate(truths, detections, categories=names)
    return Evidence(
        bundle_id="c" * 16 if sequence is None else "a" * 16,
        model_sha256="m" * 64,
        dataset_sha256="d" * 64,
        split="val",
        definition_sha256=DETECTION.sha256,
        images_expected=len(truths),
        images_scored=len(truths),
        metrics={metric.name: metric.value for metric in result.metrics},
        undefined=dict(result.undefined),
        tables=result.tables,
        sequence=sequence,
    )


@cache
def champion():
    return evidence_of(coco100("mask")[3], sequence=1)


def with_more(image, categories, boxes_xyxy, score):
    """Add boxes, each filled by its mask."""
    height, width = image.height, image.width
    masks = [rle([x, y, x2 - x, y2 - y], height, width) for x, y, x2, y2 in boxes_xyxy.tolist()]
    return ImageDetections(
        image_id=image.image_id,
        height=height,
        width=width,
        categories=np.concatenate([image.categories, categories]),
        boxes_xyxy=np.concatenate([image.boxes_xyxy, boxes_xyxy]),
        masks=(*image.masks, *masks),
        scores=np.concatenate([image.scores, np.full(len(categories), score)]),
    )


def whole_images(image, generator, *, number, score):
    """Boxes of the whole image, of ``number`` categories."""
    del generator
    boxes = np.tile([0.0, 0.0, image.width, image.height], (number, 1))
    return with_more(image, np.arange(number), boxes, score)


def random_boxes(image, generator, *, number, score):
    corners = generator.uniform(0, 1, size=(number, 2, 2)) * [image.width, image.height]
    low, high = np.floor(corners.min(axis=1)), np.ceil(corners.max(axis=1))
    boxes = np.concatenate([low, np.minimum(high + 1, [image.width, image.height])], axis=1)
    return with_more(image, generator.integers(0, 80, size=number), boxes, score)


def duplicates(image, generator, *, number, score):
    """Every detection again, moved by a pixel or two; at least ``number`` in all."""
    del score
    again = [image]
    while again[0].scores.size and sum(part.scores.size for part in again) < number:
        again.append(image)
    part = np.concatenate([np.arange(image.scores.size)] * len(again))
    return dataclasses.replace(
        image,
        categories=image.categories[part],
        boxes_xyxy=image.boxes_xyxy[part] + generator.uniform(0, 0.5, size=(len(part), 1)),
        masks=tuple(image.masks[place] for place in part),
        scores=image.scores[part],
    )


def flood(kind, *, number, score, seed=0):
    generator = np.random.default_rng(seed)
    return [kind(image, generator, number=number, score=score) for image in coco100("mask")[3]]


def test_the_champion_meets_every_limit_so_nothing_but_the_flood_is_judged():
    decision = decide(dataclasses.replace(champion(), sequence=None), champion(), GATE)
    assert all(limit.passed for limit in decision.floors)
    assert [item.outcome for item in decision.comparisons] == ["not better", "not worse", "not worse"]


def test_a_gate_that_saw_recall_alone_would_promote_whole_images():
    blind = dataclasses.replace(
        GATE,
        floors=(Floor(metric="box.recall50", at_least=0.1),),
        ceilings=(),
        non_inferior=(),
        primary=Primary(metric="box.recall50", min_gain=0.0),
    )
    challenger = evidence_of(flood(whole_images, number=80, score=0.0))
    assert decide(challenger, champion(), blind).verdict == "promote"
    sighted = decide(challenger, champion(), GATE)
    assert sighted.verdict == "reject"
    assert any(reason.startswith("mask.precision50 is worse: ") for reason in sighted.reasons)


@pytest.mark.parametrize(
    ("kind", "number", "score"),
    [
        (whole_images, 80, 0.999),
        (random_boxes, 60, 0.0),
        (duplicates, 40, 0.0),
    ],
)
def test_no_flood_is_promoted(kind, number, score):
    assert decide(evidence_of(flood(kind, number=number, score=score)), champion(), GATE).verdict == "reject"


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    st.sampled_from([whole_images, random_boxes]),
    st.integers(1, 80),
    st.sampled_from([0.0, 5e-324, 0.05, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_no_number_and_no_score_makes_a_flood_win(kind, number, score, seed):
    """A few boxes may stay inside the margin of precision; they may never be called a gain."""
    challenger = evidence_of(flood(kind, number=number, score=score, seed=seed))
    assert decide(challenger, champion(), GATE).verdict != "promote"
