import dataclasses

import numpy as np
import pytest

from tasks.data.records import ImagePrediction, ImageRecord, RegionRecord
from tasks.data.rle import encode_mask, mask_area, mask_box
from tasks.report.comparison_crops import (
    MOST_OF_ONE,
    SIDE,
    choose_false_alarms,
    choose_hits,
    choose_misses,
    cut_crops,
)
from tasks.report.comparison_sources import ComparisonSources, read_comparison
from tasks.report.sources import ReportInputs
from tests.tasks.report.comparison_case import compared


@pytest.fixture(scope="module")
def sources(challenger: ReportInputs, champion: ReportInputs) -> ComparisonSources:
    return read_comparison(compared(challenger, champion))


def test_hits_are_drawn_by_the_seed_alone(sources: ComparisonSources) -> None:
    model = sources.candidate
    chosen = choose_hits(model, sources, count=5, seed=1)
    assert chosen == choose_hits(model, sources, count=5, seed=1)
    assert chosen != choose_hits(model, sources, count=5, seed=2)
    every = choose_hits(model, sources, count=10_000, seed=1)
    assert len(every) == model.tables.per_image["mask_tp50"].sum()
    assert len({(item.image_id, item.region_id) for item in every}) == len(every)
    assert all(item.iou is not None and item.iou >= 0.5 for item in every)


def test_misses_are_the_largest(sources: ComparisonSources) -> None:
    model = sources.champion
    chosen = choose_misses(model, sources, count=10_000)
    assert len(chosen) == model.tables.per_image["mask_fn50"].clip(upper=MOST_OF_ONE).sum()
    areas = [mask_area(item.true) for item in chosen if item.true is not None]
    assert areas == sorted(areas, reverse=True)
    assert len(areas) == len(chosen)
    assert choose_misses(model, sources, count=2) == chosen[:2]


def test_false_alarms_have_the_highest_score(sources: ComparisonSources) -> None:
    model = sources.champion
    chosen = choose_false_alarms(model, sources, count=10_000)
    assert len(chosen) == model.tables.per_image["mask_fp50"].clip(upper=MOST_OF_ONE).sum()
    scores = [item.score for item in chosen if item.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert choose_false_alarms(model, sources, count=2) == chosen[:2]


def test_crops_keep_the_order_and_hold_what_they_show(
    sources: ComparisonSources, challenger: ReportInputs
) -> None:
    model = sources.champion
    choices = [
        *choose_misses(model, sources, count=3),
        *choose_hits(model, sources, count=3, seed=0),
        *choose_false_alarms(model, sources, count=3),
    ]
    crops = cut_crops(challenger.dataset, choices, model, sources)
    assert [crop.choice for crop in crops] == choices
    for crop in crops:
        left, top, width, height = crop.view
        assert left >= 0
        assert top >= 0
        assert left + width <= crop.record.width
        assert top + height <= crop.record.height
        assert crop.photograph.picture.size == (min(width, SIDE), min(height, SIDE))
        x_left, x_top, x_right, x_bottom = crop.choice.box_xyxy
        middle = ((x_left + x_right) / 2, (x_top + x_bottom) / 2)
        assert left <= middle[0] <= left + width
        assert top <= middle[1] <= top + height
        kinds = {outline.kind for outline in crop.outlines}
        expected = {"miss": {"true"}, "hit": {"true", "found"}, "false": {"found"}}[crop.choice.kind]
        assert kinds - {"around"} == expected
        assert bool(crop.remark) is (crop.choice.kind != "hit")


def region(number: int, category: str, left: int, right: int) -> RegionRecord:
    """A bar of 10 rows."""
    pixels = np.zeros((20, 100), dtype=bool)
    pixels[5:15, left:right] = True
    mask = encode_mask(pixels)
    box = mask_box(mask)
    assert box is not None
    return RegionRecord(region_id=number, category=category, box_xyxy=box, mask=mask)


@pytest.mark.parametrize(
    ("category", "left", "right", "remark", "others"),
    [
        ("cat", 50, 60, "on the background", ()),
        ("cat", 10, 30, "IoU\u00a00.33, too far off", ()),
        ("cat", 0, 22, "IoU\u00a00.91, found by another one", ()),
        ("dog", 0, 20, "IoU\u00a01.00 with a region of", ("cat",)),
    ],
)
def test_remarks_under_false_alarms(
    sources: ComparisonSources, category: str, left: int, right: int, remark: str, others: tuple[str, ...]
) -> None:
    from tasks.report.comparison_crops import Choice, _why

    record = ImageRecord(
        image_id=1, file="a.jpg", height=20, width=100, sha256="", regions=(region(1, "cat", 0, 20),)
    )
    shown = region(9, category, left, right)
    choice = Choice(
        kind="false",
        image_id=1,
        category=category,
        box_xyxy=shown.box_xyxy,
        true=None,
        region_id=None,
        found=shown.mask,
        score=0.9,
        iou=None,
    )
    assert _why(choice, record, sources.candidate) == (remark, others)


def test_remarks_under_misses(sources: ComparisonSources) -> None:
    from tasks.report.comparison_crops import _why

    model = sources.champion
    choice = choose_misses(model, sources, count=1)[0]
    record = sources.records[choice.image_id]
    remark, _ = _why(choice, record, model)
    assert remark == "no detection touches it" or remark.startswith("closest detection: IoU\u00a00.")
    silent = {
        image_id: ImagePrediction(image_id=image_id, height=item.height, width=item.width)
        for image_id, item in sources.records.items()
    }
    assert _why(choice, record, dataclasses.replace(model, predictions=silent)) == (
        "no detection touches it",
        (),
    )
