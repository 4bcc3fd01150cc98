"""The expressions a reader should see: the worst, some that nobody chose, and those that changed most.

Each is drawn on its image: what is true, and what each model found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from evaluation.ref_boxes import Box
from tasks.data.commit import hash_file
from tasks.data.records import ImageRecord
from tasks.data.referring import ReferringRecord
from tasks.data.referring_evaluations import Kind
from tasks.data.referring_predictions import ReferringAnswer
from tasks.errors import UnavailableError
from tasks.report.gallery import Shape
from tasks.report.outlines import Ring, path_data, trace
from tasks.report.photographs import Photograph, load_photograph
from tasks.report.referring_sources import Model, ReferringSources

_OTHERS: Final = 9  # boxes after the first that are drawn, faintly
_OUTSIDE: Final = 4.0  # pixels: a box is drawn up to here beyond its image, where nobody sees it
_TEXT: Final = 1_500  # characters of a raw answer that a page shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What one model found for one expression."""

    name: str
    finding: str
    """In words, e.g. ``IoU 0.83``."""
    is_right: bool
    """At IoU 0.5; for an expression without a region, whether nothing was found."""
    shapes: tuple[Shape, ...]
    text: str
    """The raw answer, cut where it is long; empty where it was not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionCard:
    """One expression with its truth and what was found."""

    record: ReferringRecord
    photograph: Photograph | None
    """None where no images were given."""
    true: tuple[Shape, ...]
    panels: tuple[Panel, ...]
    iou: float
    """Of the candidate."""
    change: float | None
    """IoU of the candidate minus that of the champion; None for a single model."""


def worst_first(sources: ReferringSources, *, count: int) -> list[int]:
    """Return the answered expressions with the lowest IoU of the candidate; ties go to the lower id."""
    table = sources.models[0].table
    answered = table[table["outcome"] != "no prediction"]
    order = np.lexsort((answered.index.to_numpy(), answered["iou"].to_numpy()))
    return [int(answered.index[place]) for place in order[:count]]


def unanswered(sources: ReferringSources, *, count: int) -> list[int]:
    """Return the first expressions that the candidate did not answer."""
    table = sources.models[0].table
    return [int(number) for number in table.index[table["outcome"] == "no prediction"][:count]]


def at_random(sources: ReferringSources, *, count: int, seed: int) -> list[int]:
    """Draw expressions without replacement; the seed alone decides which."""
    ids = list(sources.records)
    return [ids[place] for place in np.random.default_rng(seed).permutation(len(ids))[:count]]


def most_changed(sources: ReferringSources, *, count: int) -> list[int]:
    """Return the expressions whose IoU differs most between the models; those that do not are left out."""
    if len(sources.models) < 2:
        return []
    change = changes(sources)
    order = np.lexsort((change.index.to_numpy(), -change.abs().to_numpy()))
    return [int(change.index[place]) for place in order[:count] if change.iloc[place] != 0]


def changes(sources: ReferringSources) -> "pd.Series[float]":
    """Return the IoU of the candidate minus that of the champion, by expression."""
    candidate, champion = (model.table["iou"] for model in sources.models)
    return candidate - champion


def build_cards(
    sources: ReferringSources, ids: Sequence[int], *, images: Path | None
) -> dict[int, ExpressionCard]:
    """Outline truth and answers of each expression; each image is decoded once.

    Raises:
        UnavailableError: If an image is absent.
        DataError: If a file is no image of the record's size.
    """
    photographs: dict[int, Photograph | None] = {}
    change = changes(sources) if len(sources.models) > 1 else None
    cards = {}
    for number in dict.fromkeys(ids):
        record = sources.records[number]
        if record.image_id not in photographs:
            photographs[record.image_id] = None if images is None else _photograph(images, record)
        cards[number] = ExpressionCard(
            record=record,
            photograph=photographs[record.image_id],
            true=_true(record, sources.kind),
            panels=tuple(_panel(model, record, sources.kind) for model in sources.models),
            iou=float(sources.models[0].rows[number]["iou"]),
            change=None if change is None else float(change.loc[number]),
        )
    return cards


def photographs_of(cards: Mapping[int, ExpressionCard]) -> dict[int, ExpressionCard]:
    """Return one card for each image that has a photograph, by the id of the image."""
    return {card.record.image_id: card for card in cards.values() if card.photograph is not None}


def _photograph(images: Path, record: ReferringRecord) -> Photograph:
    path = images / record.file
    if not path.is_file():
        hint = f"Name the folder that holds {record.file}, or leave the images out."
        raise UnavailableError("is missing.", obj=str(path), hint=hint)
    image = ImageRecord(
        image_id=record.image_id,
        file=record.file,
        height=record.height,
        width=record.width,
        sha256=hash_file(path),
    )
    return load_photograph(images, image)


def _true(record: ReferringRecord, kind: Kind) -> tuple[Shape, ...]:
    """Outline what answers were compared with."""
    shapes = []
    for region in record.regions:
        if kind == "boxes" or region.mask is None:
            rings: tuple[Ring, ...] = (_ring(region.box_xyxy, record),)
        else:
            rings = tuple(trace(region.mask))
        shapes.append(_shape("truth", "true region", rings))
    return tuple(shapes)


def _panel(model: Model, record: ReferringRecord, kind: Kind) -> Panel:
    row, answer = model.rows[record.expression_id], model.answers[record.expression_id]
    is_right, iou = bool(row["right_50"]), float(row["iou"])
    found = (
        _masks(answer, is_right=is_right) if kind == "masks" else _boxes(answer, record, is_right=is_right)
    )
    if row["outcome"] == "no prediction":
        finding = "no answer"
    elif kind == "masks" and answer.mask is not None and not row["predicted_pixels"]:
        finding = "says: not there"
    elif kind == "masks" and not row["has_target"]:
        finding = "false alarm"
    else:
        finding = f"IoU {iou:.2f}" + (", no area" if row["outcome"] == "box without area" else "")
    return Panel(
        name=model.name, finding=finding, is_right=is_right, shapes=found, text=_cut(answer.text or "")
    )


def _masks(answer: ReferringAnswer, *, is_right: bool) -> tuple[Shape, ...]:
    rings = () if answer.mask is None else tuple(trace(answer.mask))
    return (_shape(_tone(is_right=is_right), "found", rings),) if rings else ()


def _boxes(answer: ReferringAnswer, record: ReferringRecord, *, is_right: bool) -> tuple[Shape, ...]:
    boxes = answer.boxes_xyxy or ()
    others = [_shape("further", "not scored", (_ring(box, record),)) for box in boxes[1 : 1 + _OTHERS]]
    first = [_shape(_tone(is_right=is_right), "found", (_ring(box, record),)) for box in boxes[:1]]
    return (*others, *first)


def _tone(*, is_right: bool) -> str:
    return "right" if is_right else "wrong"


def _ring(box_xyxy: Box, record: ReferringRecord) -> Ring:
    """Return the corners in half pixels, of a box that may reach far beyond its image."""
    left, right = np.clip(box_xyxy[0::2], -_OUTSIDE, record.width + _OUTSIDE)
    top, bottom = np.clip(box_xyxy[1::2], -_OUTSIDE, record.height + _OUTSIDE)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    ring: Ring = np.rint(2 * corners).astype(np.int64)
    return ring


def _shape(kind: str, title: str, rings: tuple[Ring, ...]) -> Shape:
    return Shape(kind=kind, path=path_data(rings), title=title, rings=rings)


def _cut(text: str) -> str:
    left = len(text) - _TEXT
    return text if left <= 0 else f"{text[:_TEXT]} … and {left:,} characters more"
