import dataclasses

import numpy as np
import pytest

from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord, RegionRecord
from tasks.data.rle import encode_mask
from tasks.report.gallery import ImageScore, Pairing, at_random, build_cards, paint_cards, worst_first
from tasks.report.sources import ReportInputs, read_sources


def test_worst_is_the_lowest_f1_then_the_most_mistakes() -> None:
    scores = [
        _score(1, hits=1, misses=1, false_alarms=0),
        _score(2, hits=0, misses=1, false_alarms=1),
        _score(3, hits=0, misses=5, false_alarms=5),
        _score(4, hits=0, misses=0, false_alarms=0),
        _score(5, hits=0, misses=1, false_alarms=1),
    ]
    assert worst_first(scores, count=4) == [3, 2, 5, 1]


def test_random_images_depend_on_the_seed_alone() -> None:
    ids = [7, 3, 9, 1, 5]
    assert at_random(ids, count=3, seed=0) == at_random(list(reversed(ids)), count=3, seed=0)
    assert sorted(at_random(ids, count=99, seed=1)) == sorted(ids)
    assert len({tuple(at_random(ids, count=3, seed=seed)) for seed in range(9)}) > 1


def test_numbers_of_an_image() -> None:
    score = _score(1, hits=2, misses=2, false_alarms=1, ious=(0.5, 0.9))
    assert (score.regions, score.detections) == (4, 3)
    assert (score.recall, score.precision, score.matched_iou) == (0.5, pytest.approx(2 / 3), 0.7)
    empty = _score(1, hits=0, misses=0, false_alarms=0)
    assert (empty.recall, empty.precision, empty.matched_iou) == (None, None, None)


def test_found_regions_share_a_colour_and_mistakes_are_named(tmp_path, world) -> None:
    mask = np.zeros((96, 96), dtype=np.bool_)
    mask[10:20, 10:20] = True
    rle, box = encode_mask(mask), (10.0, 10.0, 20.0, 20.0)
    regions = tuple(
        RegionRecord(region_id=number, category="square", box_xyxy=box, mask=rle, is_crowd=number == 3)
        for number in (1, 2, 3)
    )
    detection = DetectionRecord(category="square", score=0.5, box_xyxy=box, mask=rle)
    record = ImageRecord(
        image_id=1, file="val/val_000.jpg", height=96, width=96, sha256="0" * 64, regions=regions
    )
    prediction = ImagePrediction(image_id=1, height=96, width=96, detections=(detection,) * 3)
    score = dataclasses.replace(
        _score(1, hits=1, misses=1, false_alarms=1),
        pairings=(Pairing(region_id=2, detection=1, iou=0.8),),
        ignored=frozenset({2}),
    )
    card = build_cards(world, [1, 1], records={1: record}, predictions={1: prediction}, scores={1: score})[1]
    assert [(shape.kind, shape.title) for shape in card.true] == [
        ("hit hue-0", "square 2: found, IoU 0.80"),
        ("miss", "square 1: missed"),
        ("crowd", "square 3: crowd, not scored"),
    ]
    assert [(shape.kind, shape.title) for shape in card.predicted] == [
        ("hit hue-0", "square, score 0.50: IoU 0.80"),
        ("false", "square, score 0.50: false alarm"),
        ("crowd", "square, score 0.50: on a crowd, not scored"),
    ]
    sheet = paint_cards([card])
    assert {(255, 77, 94), (255, 176, 46), (154, 164, 173)} <= {
        colour for _, colour in sheet.getcolors(1 << 20)
    }


def test_every_match_of_the_evaluation_is_drawn(challenger: ReportInputs) -> None:
    sources = read_sources(challenger)
    cards = build_cards(
        challenger.dataset,
        list(sources.scores),
        records=sources.records,
        predictions=sources.predictions,
        scores=sources.scores,
    )
    for card in cards.values():
        for shapes, mistakes in ((card.true, card.score.misses), (card.predicted, card.score.false_alarms)):
            hits = sum(shape.kind.startswith("hit") for shape in shapes)
            assert (hits, len(shapes) - hits) == (card.score.hits, mistakes)


def _score(
    image_id: int, *, hits: int, misses: int, false_alarms: int, ious: tuple[float, ...] = ()
) -> ImageScore:
    total = 2 * hits + misses + false_alarms
    return ImageScore(
        image_id=image_id,
        hits=hits,
        misses=misses,
        false_alarms=false_alarms,
        f1=2 * hits / total if total else 1.0,
        pairings=tuple(
            Pairing(region_id=number, detection=number, iou=iou) for number, iou in enumerate(ious)
        ),
    )
