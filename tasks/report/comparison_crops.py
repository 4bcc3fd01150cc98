"""Single regions that a reader should see: some that were found, what was missed, what was made up.

The rules, for each model: regions found are drawn at random by the page's seed; missed regions are the
largest by the area of their mask; false alarms are those of highest score; of one image at most two mistakes
of a kind, so that one bad image does not fill the page. Ties go to the lower image id and the earlier place,
so equal files give equal pages. Found, missed and false are those of the evaluation:
matched within the category at mask IoU 0.5, crowds left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.masks import mask_iou
from tasks.data.records import ImageRecord, MaskRle, RegionRecord
from tasks.data.rle import mask_area
from tasks.report.comparison_sources import ComparedModel, ComparisonSources
from tasks.report.gallery import Pairing
from tasks.report.outlines import path_data, trace
from tasks.report.photographs import Photograph, View, crop_photographs
from tasks.report.tables import whole

SIDE = 240
"""Longest side of a crop, in pixels."""
_ROOM, _LEAST = 1.7, 56
"""A crop is so many times as wide as what it shows, and at least so many pixels."""
_BESIDE = 0.1
"""Overlap from which a false alarm is beside a region and not on the background, as in TIDE."""
_MOST_AROUND = 40
MOST_OF_ONE = 2
"""Mistakes of one kind that a single image may show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One region or detection that is to be shown."""

    kind: str
    """``hit``, ``miss`` or ``false``."""
    image_id: int
    category: str
    """Of the region, or what a false alarm takes it for."""
    box_xyxy: tuple[float, float, float, float]
    """What the crop is put around, in pixels of the image."""
    true: MaskRle | None
    """None for a false alarm."""
    region_id: int | None
    """None for a false alarm."""
    found: MaskRle | None
    """None for a miss."""
    score: float | None
    """None for a miss."""
    iou: float | None
    """Of a hit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One line of a crop."""

    kind: str
    """``true`` or ``found`` for what the crop shows, ``around`` for other true regions; classes of style."""
    path: str
    """``d`` of an SVG path in half pixels of the whole image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A part of an image around one region."""

    choice: Choice
    record: ImageRecord
    view: View
    photograph: Photograph
    outlines: tuple[Outline, ...]
    facts: tuple[str, ...]
    """Numbers in words."""
    remark: str
    """Why it went wrong, as far as overlap tells; empty for a hit."""
    others: tuple[str, ...] = field(default=())
    """Categories that the remark speaks of."""


def choose_hits(model: ComparedModel, sources: ComparisonSources, *, count: int, seed: int) -> list[Choice]:
    """Draw regions that the model found; the seed alone decides which."""
    every: list[tuple[int, Pairing]] = [
        (image_id, pairing) for image_id in sources.records for pairing in model.scores[image_id].pairings
    ]
    every.sort(key=lambda item: (item[0], item[1].detection))
    drawn = np.random.default_rng(seed).permutation(len(every))[:count]
    choices = []
    for place in drawn.tolist():
        image_id, pairing = every[place]
        regions = {region.region_id: region for region in sources.records[image_id].regions}
        region, detection = (
            regions[pairing.region_id],
            model.predictions[image_id].detections[pairing.detection],
        )
        choices.append(
            Choice(
                kind="hit",
                image_id=image_id,
                category=region.category,
                box_xyxy=region.box_xyxy,
                true=region.mask,
                region_id=region.region_id,
                found=detection.mask,
                score=detection.score,
                iou=pairing.iou,
            )
        )
    return choices


def choose_misses(model: ComparedModel, sources: ComparisonSources, *, count: int) -> list[Choice]:
    """Return the largest regions that the model missed, at most ``MOST_OF_ONE`` of an image."""
    missed = []
    for image_id, record in sources.records.items():
        found = {pairing.region_id for pairing in model.scores[image_id].pairings}
        missed += [
            (-mask_area(region.mask), image_id, region.region_id, region)
            for region in record.regions
            if region.mask is not None and not region.is_crowd and region.region_id not in found
        ]
    missed.sort(key=lambda item: item[:3])
    choices = [
        Choice(
            kind="miss",
            image_id=image_id,
            category=region.category,
            box_xyxy=region.box_xyxy,
            true=region.mask,
            region_id=region.region_id,
            found=None,
            score=None,
            iou=None,
        )
        for _, image_id, _, region in missed
    ]
    return _spread(choices)[:count]


def choose_false_alarms(model: ComparedModel, sources: ComparisonSources, *, count: int) -> list[Choice]:
    """Return the detections of highest score that found nothing, at most ``MOST_OF_ONE`` of an image."""
    wrong = []
    for image_id in sources.records:
        score = model.scores[image_id]
        counted = {pairing.detection for pairing in score.pairings} | score.ignored
        wrong += [
            (-detection.score, image_id, place, detection)
            for place, detection in enumerate(model.predictions[image_id].detections)
            if place not in counted
        ]
    wrong.sort(key=lambda item: item[:3])
    choices = [
        Choice(
            kind="false",
            image_id=image_id,
            category=detection.category,
            box_xyxy=detection.box_xyxy,
            true=None,
            region_id=None,
            found=detection.mask,
            score=detection.score,
            iou=None,
        )
        for _, image_id, _, detection in wrong
    ]
    return _spread(choices)[:count]


def _spread(choices: Sequence[Choice]) -> list[Choice]:
    """Keep the first few of each image, in order."""
    shown: dict[int, int] = {}
    kept = []
    for choice in choices:
        shown[choice.image_id] = shown.get(choice.image_id, 0) + 1
        if shown[choice.image_id] <= MOST_OF_ONE:
            kept.append(choice)
    return kept


def cut_crops(
    dataset: Path, choices: Sequence[Choice], model: ComparedModel, sources: ComparisonSources
) -> list[Crop]:
    """Cut each choice out of its image; every image is decoded once.

    Raises:
        UnavailableError: If an image is absent.
        DataError: If a file is no image of its record's size.
    """
    by_image: dict[int, list[int]] = {}
    for place, choice in enumerate(choices):
        by_image.setdefault(choice.image_id, []).append(place)
    crops: dict[int, Crop] = {}
    for image_id, places in by_image.items():
        record = sources.records[image_id]
        views = [_view(choices[place], record) for place in places]
        parts = crop_photographs(dataset, record, views, longest_side=SIDE)
        for place, view, photograph in zip(places, views, parts, strict=True):
            crops[place] = _crop(choices[place], record, view, photograph, model)
    return [crops[place] for place in range(len(choices))]


def _view(choice: Choice, record: ImageRecord) -> View:
    """Return a square around the choice, moved into the image and cut to it."""
    left, top, right, bottom = choice.box_xyxy
    side = max(_LEAST, round(_ROOM * max(right - left, bottom - top)))
    width, height = min(side, record.width), min(side, record.height)
    x = min(max(0, round((left + right - width) / 2)), record.width - width)
    y = min(max(0, round((top + bottom - height) / 2)), record.height - height)
    return x, y, width, height


def _crop(
    choice: Choice, record: ImageRecord, view: View, photograph: Photograph, model: ComparedModel
) -> Crop:
    outlines = [
        Outline(kind="around", path=path_data(trace(region.mask)))
        for region in _around(record, view)
        if region.mask is not None and region.region_id != choice.region_id
    ]
    facts: list[str] = []
    if choice.true is not None:
        outlines.append(Outline(kind="true", path=path_data(trace(choice.true))))
        facts.append(f"{whole(mask_area(choice.true))} px")
    if choice.found is not None:
        outlines.append(Outline(kind="found", path=path_data(trace(choice.found))))
    facts += [] if choice.score is None else [f"score\u00a0{choice.score:.2f}"]
    facts += [] if choice.iou is None else [f"IoU\u00a0{choice.iou:.2f}"]
    remark, others = _why(choice, record, model)
    return Crop(
        choice=choice,
        record=record,
        view=view,
        photograph=photograph,
        outlines=tuple(outlines),
        facts=tuple(facts),
        remark=remark,
        others=others,
    )


def _around(record: ImageRecord, view: View) -> list[RegionRecord]:
    left, top, width, height = view
    inside = [
        region
        for region in record.regions
        if region.box_xyxy[0] < left + width
        and region.box_xyxy[2] > left
        and region.box_xyxy[1] < top + height
        and region.box_xyxy[3] > top
    ]
    return inside[:_MOST_AROUND]


def _why(choice: Choice, record: ImageRecord, model: ComparedModel) -> tuple[str, tuple[str, ...]]:
    """Say what overlap tells about a mistake, and the categories that the words speak of."""
    if choice.kind == "miss" and choice.true is not None:
        detections = model.predictions[choice.image_id].detections
        same = [item.mask for item in detections if item.category == choice.category]
        best = max(_overlaps(choice.true, same), default=0.0)
        return (f"closest detection: IoU\u00a0{best:.2f}" if best > 0.0 else "no detection touches it"), ()
    if choice.kind != "false" or choice.found is None:
        return "", ()
    beside = [
        (region.mask, region.category)
        for region in record.regions
        if region.mask is not None and not region.is_crowd
    ]
    overlaps = _overlaps(choice.found, [mask for mask, _ in beside])
    best = max(overlaps, default=0.0)
    if best < _BESIDE:
        return "on the background", ()
    category = beside[overlaps.index(best)][1]
    if category != choice.category:
        return f"IoU\u00a0{best:.2f} with a region of", (category,)
    return (f"IoU\u00a0{best:.2f}, " + ("found by another one" if best >= 0.5 else "too far off")), ()


def _overlaps(mask: MaskRle, others: Sequence[MaskRle]) -> list[float]:
    crowds = np.zeros(len(others), dtype=bool)
    iou = mask_iou([mask.to_json()], [other.to_json() for other in others], crowds)
    values: list[float] = iou[0].tolist()
    return values
