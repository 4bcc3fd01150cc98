"""Label maps by CLIP -> one HTML page that needs no network: how much of what, how sure, and how it looks.

Numbers are gathered line by line, so a tally holds a few images however many there are.
"""

import base64
import colorsys
import hashlib
import io
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data.images import Rgb, read_rgb
from tasks.data.label_maps import UNLABELLED
from tasks.data.semantic_records import SemanticClasses
from tasks.report.charts import DASH
from tasks.report.photographs import Photograph
from tasks.report.rendering import render_page

SHOWN = 9
"""Images in each gallery."""
_SIDE = 288  # longest side of a picture
_PAINT = 0.65  # how much of a pixel's colour is that of its class
_GOLDEN = 0.618033988749895  # steps on the colour circle that never come close to each other soon
_SURROUNDINGS = (122, 130, 140)  # colour of classes that are background


@dataclass(slots=True)
class _Smallest:
    """The ``SHOWN`` images with the smallest keys."""

    entries: list[tuple[Any, str, dict[str, Any]]] = field(default_factory=list)
    """Key, name, line; names are unique, so lines are never compared."""

    def offer(self, key: float | str, line: dict[str, Any]) -> None:
        if len(self.entries) < SHOWN or (key, line["image"]) < self.entries[-1][:2]:
            insort(self.entries, (key, line["image"], line))
            del self.entries[SHOWN:]

    def lines(self) -> list[dict[str, Any]]:
        return [line for _, _, line in self.entries]


class ClipTally:
    """Counts pixels and keeps the images that the page shows; the order of lines does not matter to it.

    Args:
        num_classes: How many there are.
    """

    def __init__(self, num_classes: int) -> None:
        self.images = self.pixels = self.unlabelled = 0
        self.sure = 0.0
        self.pixels_of = [0] * num_classes
        self.images_with = [0] * num_classes
        self.lowest, self.drawn = _Smallest(), _Smallest()

    @property
    def labelled(self) -> int:
        """Pixels that have a label."""
        return sum(self.pixels_of)

    def add(self, line: dict[str, Any]) -> None:
        """Count one image.

        Args:
            line: As ``tasks.operations.clip_shards`` makes it.
        """
        area = line["height"] * line["width"]
        self.images += 1
        self.pixels += area
        self.unlabelled += line["unlabelled"]
        self.sure += line["confidence"] * area
        for number, count in enumerate(line["pixels"]):
            self.pixels_of[number] += count
            self.images_with[number] += count > 0
        self.lowest.offer(line["confidence"], line)
        self.drawn.offer(hashlib.sha256(line["image"].encode()).hexdigest(), line)

    def counts(self, classes: SemanticClasses) -> dict[str, Any]:
        """Return plain numbers: of all images, and of each class."""
        return {
            "counts": {
                "images": self.images,
                "pixels": self.pixels,
                "labelled": self.labelled,
                "share": round(self.labelled / self.pixels, 6),
                "mean_confidence": round(self.sure / self.pixels, 6),
            },
            "classes": [
                {"value": value, "name": name, "labelled": pixels, "images": images}
                for value, name, pixels, images in zip(
                    classes.values, classes.names, self.pixels_of, self.images_with, strict=True
                )
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCard:
    """One image beside its labels and how sure they are. Sources are data URIs."""

    photograph: str
    labels: str
    sure: str
    file: str
    confidence: str
    found: tuple[tuple[str, str, str], ...]
    """Colour, name and share of the pixels of the classes found, most pixels first."""


def render_clip_labels(
    info: Mapping[str, Any], tally: ClipTally, *, classes: SemanticClasses, images: Path
) -> str:
    """Render the page; equal arguments give equal text.

    Args:
        info: What ``clip_labels.json`` says.
        tally: Of all images.
        classes: Their names are data and are shown as text.
        images: Folder that names of images start from.

    Raises:
        DataError: If an image that is shown cannot be read any more.
    """
    colours = class_colours(classes)
    cards = {
        slug: [_card(line, classes, colours, images) for line in part.lines()]
        for slug, part in (("drawn", tally.drawn), ("lowest", tally.lowest))
    }
    rows = [
        {
            "colour": _hex(colours[row["value"]]),
            "name": row["name"],
            "words": ", ".join(info["words"][row["name"]]),
            "share": _percent(row["labelled"], tally.pixels),
            "images": row["images"],
        }
        for row in sorted(info["classes"], key=lambda row: (-row["labelled"], row["value"]))
    ]
    page = {
        "info": info,
        "counts": info["counts"],
        "unlabelled": _percent(tally.unlabelled, tally.pixels),
        "sure": f"{info['counts']['mean_confidence']:.3f}",
        "rows": rows,
        "never": sum(row["labelled"] == 0 for row in info["classes"]),
        "cards": cards,
        "lineage": _lineage(info),
    }
    return render_page("clip_labels.html.j2", page, styles=("clip_labels.css",))


def class_colours(classes: SemanticClasses) -> NDArray[np.uint8]:
    """Give each byte a colour, shape (256, 3): surroundings are grey, neighbours in place differ in hue."""
    colours = np.zeros((256, 3), np.uint8)
    for place, value in enumerate(classes.values):
        rgb = colorsys.hsv_to_rgb((place * _GOLDEN) % 1.0, 0.78, 0.95 if place % 2 else 0.8)
        colours[value] = [round(255 * part) for part in rgb]
        if value in classes.background:
            colours[value] = _SURROUNDINGS
    return colours


def paint_labels(pixels: Rgb, labels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> Rgb:
    """Paint classes over a grey image; pixels without a label stay as dark as they are.

    Args:
        pixels: RGB of shape (height, width, 3).
        labels: Bytes of shape (height, width).
        colours: From ``class_colours``.
    """
    grey = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    painted = (1.0 - _PAINT) * grey + _PAINT * colours[labels]
    return np.rint(np.where((labels == UNLABELLED)[..., None], grey, painted)).astype(np.uint8)


def _card(
    line: Mapping[str, Any], classes: SemanticClasses, colours: NDArray[np.uint8], images: Path
) -> ImageCard:
    pixels = read_rgb(images / line["image"], height=line["height"], width=line["width"])
    picture = Image.fromarray(pixels)
    scale = _SIDE / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    photograph = Photograph(picture=picture.resize(size, Image.Resampling.LANCZOS), gain=1.0)
    labels = _open(line["label"]).resize(size, Image.Resampling.NEAREST)
    sure = _open(line["sure"]).resize(size, Image.Resampling.BILINEAR)
    painted = paint_labels(np.asarray(photograph.picture), np.asarray(labels), colours)
    area = line["height"] * line["width"]
    found = sorted((-count, place) for place, count in enumerate(line["pixels"]) if count)
    return ImageCard(
        photograph=photograph.data_uri(),
        labels=Photograph(picture=Image.fromarray(painted), gain=1.0).data_uri(),
        sure=Photograph(picture=sure, gain=1.0).data_uri(),
        file=line["image"],
        confidence=f"{line['confidence']:.2f}",
        found=tuple(
            (_hex(colours[classes.values[place]]), classes.names[place], _percent(-count, area))
            for count, place in found[:6]
        ),
    )


def _lineage(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    code, weights, templates = info["code"], info["weights"], info["templates"]
    return [
        ("Weights", weights["name"] or "a local directory"),
        ("Revision", weights["revision"] or DASH),
        ("Weights, sha256 of all files", weights["sha256"]),
        *((f"{name}, sha256", sha256) for name, sha256 in weights["files"].items()),
        ("Sentences around each word", f"{templates['count']}, sha256 {templates['sha256']}"),
        ("Images, sha256", info["images_sha256"]),
        ("Code", f"{code['version']}, {code['commit']}{' + uncommitted changes' if code['dirty'] else ''}"),
        *((name, str(value)) for name, value in info["parameters"].items()),
    ]


def _open(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)), formats=("PNG",))


def _percent(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.1f} %"


def _hex(colour: NDArray[np.uint8]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour)
