"""Pseudo-labels -> one HTML page that needs no network: how many, how sure, and what they look like.

Numbers are gathered line by line, so a tally holds a few dozen boxes however many there are.
"""

import hashlib
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from tasks.data.coco import clip_box
from tasks.data.images import Rgb, read_rgb
from tasks.data.records import MaskRle
from tasks.report.charts import DASH, Bar, BarChart, draw_bars
from tasks.report.outlines import path_data, trace
from tasks.report.photographs import Photograph

SHOWN = 12
"""Boxes in each gallery."""
BINS = 10
_CONTEXT = 0.6  # of the box's side that a picture shows on each side of it
_LEAST_CONTEXT = 6.0  # pixels
_SIDE = 288  # longest side of a picture
_DIM = 110.0  # of 255: a picture whose bright parts stay below is brightened for display

Source = Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryTally:
    """What became of the boxes of a category."""

    boxes: int = 0
    masks: int = 0
    score: float = 0.0
    """Sum over its masks."""


@dataclass(slots=True)
class _Smallest:
    """The ``SHOWN`` annotations with the smallest keys."""

    entries: list[tuple[Any, int, int, dict[str, Any]]] = field(default_factory=list)
    """Key, annotation id, image id, annotation; ids are unique, so rows are never compared."""

    def offer(self, key: float | str, image_id: int, row: dict[str, Any]) -> None:
        if len(self.entries) < SHOWN or (key, row["id"]) < self.entries[-1][:2]:
            insort(self.entries, (key, row["id"], image_id, row))
            del self.entries[SHOWN:]

    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        return [(image_id, row) for _, _, image_id, row in self.entries]


class PseudoLabelTally:
    """Counts annotations and keeps those that the page shows; the order of lines does not matter to it."""

    def __init__(self) -> None:
        self.images = 0
        self.reasons: Counter[str] = Counter()
        self.categories: dict[int, CategoryTally] = {}
        self.bins = [0] * BINS
        self.lowest, self.drawn, self.refused = _Smallest(), _Smallest(), _Smallest()

    def add(self, line: Mapping[str, Any]) -> None:
        """Count one image.

        Args:
            line: ``image_id`` and its ``annotations``, each with ``score`` or ``reason``.
        """
        self.images += 1
        for row in line["annotations"]:
            so_far = self.categories.get(row["category_id"], CategoryTally())
            score = row.get("score")
            self.categories[row["category_id"]] = CategoryTally(
                boxes=so_far.boxes + 1,
                masks=so_far.masks + (score is not None),
                score=so_far.score + (score or 0.0),
            )
            chance = hashlib.sha256(str(row["id"]).encode()).hexdigest()
            if score is None:
                self.reasons[row["reason"]] += 1
                self.refused.offer(chance, line["image_id"], row)
            else:
                self.bins[min(BINS - 1, int(score * BINS))] += 1
                self.lowest.offer(score, line["image_id"], row)
                self.drawn.offer(chance, line["image_id"], row)

    def counts(self) -> dict[str, Any]:
        """Return plain numbers."""
        boxes = sum(part.boxes for part in self.categories.values())
        masks = sum(part.masks for part in self.categories.values())
        score = sum(part.score for part in self.categories.values())
        return {
            "images": self.images,
            "boxes": boxes,
            "masks": masks,
            "refused": dict(sorted(self.reasons.items())),
            "mean_score": round(score / masks, 6) if masks else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxCard:
    """One box with its surroundings. Lengths are half pixels of the image, as in the outlines."""

    view: tuple[int, int, int, int]
    """Left, top, width and height of the part that is shown."""
    photograph: Photograph
    box: tuple[float, float, float, float]
    """Left, top, width and height."""
    path: str
    """``d`` of the mask's outline; empty without a mask."""
    category: str
    score: str
    reason: str
    file: str
    annotation: int
    size: tuple[str, str]
    """Width and height of the box in pixels."""


def render_pseudo_labels(
    info: Mapping[str, Any],
    tally: PseudoLabelTally,
    *,
    image: Source,
    categories: Iterable[Mapping[str, Any]],
    images: Path,
) -> str:
    """Render the page; equal arguments give equal text.

    Args:
        info: Provenance, ``info.groundwork`` of the file.
        tally: Of all its annotations.
        image: Image id -> row of the image.
        categories: Rows of the categories. Their names are data and are shown as text.
        images: Folder that file names start from.

    Raises:
        DataError: If an image that is shown cannot be read any more.
    """
    names = {row["id"]: row["name"] for row in categories}
    galleries = {"lowest": tally.lowest, "drawn": tally.drawn, "refused": tally.refused}
    cards = _cards({slug: part.rows() for slug, part in galleries.items()}, image, names, images)
    environment = Environment(
        loader=PackageLoader("tasks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files("tasks.report").joinpath("templates")
    style = "".join(folder.joinpath(f"{name}.css").read_text("utf-8") for name in ("report", "pseudo_labels"))
    return environment.get_template("pseudo_labels.html.j2").render(
        info=info,
        counts=info["counts"],
        cards=cards,
        chart=draw_bars(_histogram(tally)),
        categories=_category_rows(tally, names),
        lineage=_lineage(info),
        style=Markup(style),
    )


def _histogram(tally: PseudoLabelTally) -> BarChart:
    masks = max(1, sum(tally.bins))
    groups = tuple(
        (f"{place / BINS:.1f}", f"{count}", (Bar(value=count / masks),))
        for place, count in enumerate(tally.bins)
    )
    return BarChart(slug="scores", title="Scores", note="", groups=groups)


def _category_rows(tally: PseudoLabelTally, names: Mapping[int, str]) -> list[tuple[str, int, int, str]]:
    """Name, boxes, masks and mean score; most boxes first, and those without a box, too."""
    parts = {number: tally.categories.get(number, CategoryTally()) for number in names}
    ordered = sorted(parts.items(), key=lambda item: (-item[1].boxes, item[0]))
    return [
        (names[number], part.boxes, part.masks, f"{part.score / part.masks:.3f}" if part.masks else DASH)
        for number, part in ordered
    ]


def _lineage(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    code, model = info["code"], info["model"]
    return [
        ("Method", info["method"]),
        ("Model", "none" if model is None else model["sha256"]),
        ("Annotations, sha256", info["annotations_sha256"]),
        ("Images, sha256", info["images_sha256"]),
        ("Code", f"{code['version']}, {code['commit']}{' + uncommitted changes' if code['dirty'] else ''}"),
        *((name, str(value)) for name, value in info["parameters"].items()),
    ]


def _cards(
    chosen: Mapping[str, list[tuple[int, dict[str, Any]]]],
    image: Source,
    names: Mapping[int, str],
    images: Path,
) -> dict[str, list[BoxCard]]:
    """Make the cards of every gallery; pixels of one image are in memory at a time."""
    wanted = sorted(
        (image_id, slug, place) for slug, rows in chosen.items() for place, (image_id, _) in enumerate(rows)
    )
    made: dict[tuple[str, int], BoxCard] = {}
    shown, pixels, row = 0, np.zeros((0, 0, 3), np.uint8), {}
    for image_id, slug, place in wanted:
        if image_id != shown:
            row = dict(image(image_id))
            pixels = read_rgb(images / row["file_name"], height=row["height"], width=row["width"])
            shown = image_id
        annotation = chosen[slug][place][1]
        made[slug, place] = _card(row, annotation, names[annotation["category_id"]], pixels)
    return {slug: [made[slug, place] for place in range(len(rows))] for slug, rows in chosen.items()}


def _card(row: Mapping[str, Any], annotation: Mapping[str, Any], category: str, pixels: Rgb) -> BoxCard:
    height, width = row["height"], row["width"]
    left, top, right, bottom = clip_box(annotation["bbox"], height, width)
    reach_x, reach_y = (max(_LEAST_CONTEXT, side * _CONTEXT) for side in (right - left, bottom - top))
    x0, y0 = max(0, int(left - reach_x)), max(0, int(top - reach_y))
    x1, y1 = min(width, int(right + reach_x) + 1), min(height, int(bottom + reach_y) + 1)
    mask = annotation.get("segmentation")
    return BoxCard(
        view=(2 * x0, 2 * y0, 2 * (x1 - x0), 2 * (y1 - y0)),
        photograph=_photograph(pixels[y0:y1, x0:x1]),
        box=(2 * left, 2 * top, 2 * (right - left), 2 * (bottom - top)),
        path="" if mask is None else path_data(trace(MaskRle.from_json(mask))),
        category=category,
        score=DASH if mask is None else f"{annotation['score']:.2f}",
        reason=annotation.get("reason", ""),
        file=row["file_name"],
        annotation=annotation["id"],
        size=(f"{right - left:g}", f"{bottom - top:g}"),
    )


def _photograph(pixels: Rgb) -> Photograph:
    """Enlarge or reduce a part of an image, and brighten it if it is very dark."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    scale = _SIDE / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    bright = float(np.percentile(np.asarray(picture.convert("L")), 99.5))
    gain = 1.0 if bright >= _DIM else min(12.0, 190.0 / max(bright, 1.0))
    if gain > 1.0:
        picture = picture.point(lambda value: min(255, round(value * gain)))
    return Photograph(picture=picture, gain=gain)
