"""The images a reader should see: the worst ones, and some that nobody chose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.data.records import ImagePrediction, ImageRecord, MaskRle
from tasks.report.outlines import Ring, path_data, trace
from tasks.report.photographs import Photograph, Stroke, contact_sheet, load_photograph, paint_pair

HUES = 8
_HIT_COLOURS = ("#35d0e6", "#7ee787", "#8ab4ff", "#c7f464", "#4fe0b6", "#c9a6ff", "#9be7ff", "#5aa9ff")
_MISS_COLOUR, _FALSE_COLOUR = "#ff4d5e", "#ffb02e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """A true region and the detection that was matched to it at mask IoU 0.5."""

    region_id: int
    detection: int
    """Index into the image's detections, as predicted."""
    iou: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScore:
    """The numbers of one image at mask IoU 0.5, as the evaluation wrote them."""

    image_id: int
    hits: int
    misses: int
    """Regions that were not found; crowds do not count."""
    false_alarms: int
    """Detections without a region; those on a crowd do not count."""
    f1: float
    """2 hits / (2 hits + misses + false alarms); 1 for an empty image that was left empty."""
    pairings: tuple[Pairing, ...]
    ignored: frozenset[int] = frozenset()
    """Detections on a crowd, by their index."""

    @property
    def regions(self) -> int:
        """Count the regions that were to be found."""
        return self.hits + self.misses

    @property
    def detections(self) -> int:
        """Count the detections that were judged."""
        return self.hits + self.false_alarms

    @property
    def precision(self) -> float | None:
        """Share of detections that found a region; None without detections."""
        return self.hits / self.detections if self.detections else None

    @property
    def recall(self) -> float | None:
        """Share of regions that were found; None without regions."""
        return self.hits / self.regions if self.regions else None

    @property
    def matched_iou(self) -> float | None:
        """Mean mask IoU of the found regions; None when none was found."""
        return math.fsum(pair.iou for pair in self.pairings) / len(self.pairings) if self.pairings else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One outlined instance of a panel."""

    kind: str
    """``hit hue-<n>``, ``miss``, ``false`` or ``crowd``: classes of the page's style."""
    path: str
    """``d`` of an SVG path in half pixels."""
    title: str
    rings: tuple[Ring, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One image with what is true and what was predicted."""

    record: ImageRecord
    score: ImageScore
    photograph: Photograph
    true: tuple[Shape, ...]
    predicted: tuple[Shape, ...]


def worst_first(scores: Sequence[ImageScore], *, count: int) -> list[int]:
    """Return the ids of the images with the lowest F1; ties go to more mistakes, then to the lower id."""

    def badness(score: ImageScore) -> tuple[float, int, int]:
        return score.f1, -score.misses - score.false_alarms, score.image_id

    return [score.image_id for score in sorted(scores, key=badness)[:count]]


def at_random(image_ids: Sequence[int], *, count: int, seed: int) -> list[int]:
    """Draw images without replacement; the seed alone decides which."""
    ordered = sorted(image_ids)
    drawn = np.random.default_rng(seed).permutation(len(ordered))[:count]
    return [ordered[index] for index in drawn]


def build_cards(
    dataset: Path,
    image_ids: Sequence[int],
    *,
    records: Mapping[int, ImageRecord],
    predictions: Mapping[int, ImagePrediction],
    scores: Mapping[int, ImageScore],
) -> dict[int, Card]:
    """Decode each image once and outline its regions and detections."""
    cards = {}
    for image_id in dict.fromkeys(image_ids):
        record, score = records[image_id], scores[image_id]
        true, predicted = _shapes(record, predictions[image_id], score)
        cards[image_id] = Card(
            record=record,
            score=score,
            photograph=load_photograph(dataset, record),
            true=true,
            predicted=predicted,
        )
    return cards


def paint_cards(cards: Sequence[Card]) -> Image.Image:
    """Paint cards as one picture, for places that cannot show a page."""
    pairs = []
    for card in cards:
        sides = ([_stroke(shape) for shape in card.true], [_stroke(shape) for shape in card.predicted])
        pair = paint_pair(card.photograph, card.record, sides, size=240)
        name = Path(card.record.file).name
        pairs.append((f"F1 {card.score.f1:.2f}   {name[:40]}", pair))
    legend = [
        ("left: true, right: predicted", "#ffffff"),
        ("found", _HIT_COLOURS[0]),
        ("missed", _MISS_COLOUR),
        ("false alarm", _FALSE_COLOUR),
    ]
    return contact_sheet(pairs, columns=3, legend=legend)


def _shapes(
    record: ImageRecord, prediction: ImagePrediction, score: ImageScore
) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    hue_of = {pair.detection: index % HUES for index, pair in enumerate(score.pairings)}
    pair_of = {pair.region_id: pair for pair in score.pairings}
    iou_of = {pair.detection: pair.iou for pair in score.pairings}
    true = []
    for region in record.regions:
        pair = pair_of.get(region.region_id)
        kind = "crowd" if region.is_crowd else "miss"
        title = f"{region.category} {region.region_id}: "
        if pair is not None:
            kind, title = f"hit hue-{hue_of[pair.detection]}", f"{title}found, IoU {pair.iou:.2f}"
        else:
            title += "crowd, not scored" if region.is_crowd else "missed"
        if region.mask is not None:
            true.append(_shape(kind, title, region.mask))
    predicted = []
    for index, detection in enumerate(prediction.detections):
        title = f"{detection.category}, score {detection.score:.2f}: "
        if index in hue_of:
            predicted.append(
                _shape(f"hit hue-{hue_of[index]}", f"{title}IoU {iou_of[index]:.2f}", detection.mask)
            )
        elif index in score.ignored:
            predicted.append(_shape("crowd", f"{title}on a crowd, not scored", detection.mask))
        else:
            predicted.append(_shape("false", f"{title}false alarm", detection.mask))
    return _hits_below(true), _hits_below(predicted)


def _shape(kind: str, title: str, mask: MaskRle) -> Shape:
    rings = tuple(trace(mask))
    return Shape(kind=kind, path=path_data(rings), title=title, rings=rings)


def _hits_below(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """Draw mistakes last, so that nothing covers them."""
    return tuple(sorted(shapes, key=lambda shape: not shape.kind.startswith("hit")))


def _stroke(shape: Shape) -> Stroke:
    if shape.kind.startswith("hit"):
        return Stroke(rings=shape.rings, colour=_HIT_COLOURS[int(shape.kind.rpartition("-")[2])])
    colour = {"miss": _MISS_COLOUR, "false": _FALSE_COLOUR}.get(shape.kind, "#9aa4ad")
    return Stroke(rings=shape.rings, colour=colour)
