"""What the benchmark of boxes learns and is asked: scenes of the synthetic world, and tiles of nuclei.

Both are PNG files in a folder with records, so that training reads them as it reads any data set. Masks stand
in the records for the score alone: a batch of a training holds boxes.

The nuclei of ``data/sample`` lie in images of up to 512 pixels with up to 369 of them. Each image is cut into
tiles that do not overlap, a rest at its right or lower border left out; a nucleus that a cut divides keeps
what a tile shows, unless that is less than ``SMALLEST_PART`` of it or less than ``SMALLEST_AREA`` pixels, and
tiles without a nucleus are left out.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.weak_world import CATEGORIES, draw_world
from tasks.data.coco import read_mask, read_split
from tasks.data.images import read_rgb
from tasks.data.records import ImageRecord, RegionRecord
from tasks.data.rle import decode_mask, encode_mask

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample"
WORLD, NUCLEI = "world", "nuclei"
SMALLEST_PART = 0.25
SMALLEST_AREA = 12
TILES_ASKED = 4
"""Tiles of one image that are asked about, at most; drawn once."""
TILE = 64
"""Pixels along the side of a tile and of a scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Records to train on and records to be asked about, with the files of both."""

    name: str
    categories: tuple[str, ...]
    folder: Path
    train: tuple[ImageRecord, ...]
    asked: tuple[ImageRecord, ...]
    source: tuple[int, ...]
    """For each asked record the image it was cut from: what is drawn again for an interval."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """An image with its objects, before it is written."""

    pixels: NDArray[np.uint8]
    masks: Sequence[NDArray[np.bool_]]
    categories: Sequence[str]


def world_problem(folder: Path, *, seeds: tuple[int, int], counts: tuple[int, int]) -> Problem:
    """Draw a world to train on and another one to be asked about.

    Args:
        folder: Where the files go.
        seeds: Of the two worlds.
        counts: Scenes of the two worlds.
    """
    parts = []
    for name, seed, count in zip(("train", "asked"), seeds, counts, strict=True):
        scenes = (
            Shown(
                pixels=scene.pixels,
                masks=list(scene.masks),
                categories=[CATEGORIES[number] for number in scene.categories],
            )
            for scene in draw_world(seed, count, TILE)
        )
        parts.append(_write(folder, name, scenes))
    return Problem(
        name=WORLD,
        categories=CATEGORIES,
        folder=folder,
        train=parts[0],
        asked=parts[1],
        source=tuple(range(counts[1])),
    )


def nuclei_problem(folder: Path, *, held_out: bool) -> Problem:
    """Cut the nuclei into tiles.

    Args:
        folder: Where the files go.
        held_out: Whether every third image of train is asked about, so that settings can be chosen without a
            look at val; else all of train is learnt and val is asked about.
    """
    train = list(_tiles("train"))
    if held_out:
        asked = [(number, shown) for number, shown in train if number % 3 == 0]
        train = [(number, shown) for number, shown in train if number % 3]
    else:
        asked = list(_tiles("val"))
    asked = _draw(asked)
    return Problem(
        name=NUCLEI,
        categories=("nucleus",),
        folder=folder,
        train=_write(folder, "train", (shown for _, shown in train)),
        asked=_write(folder, "asked", (shown for _, shown in asked)),
        source=tuple(number for number, _ in asked),
    )


def _tiles(split: str) -> Iterator[tuple[int, Shown]]:
    """Yield the place of an image in its split, and a tile of it."""
    tables = read_split(SAMPLE, split)
    for number, row in enumerate(tables.images):
        height, width = row["height"], row["width"]
        pixels = read_rgb(SAMPLE / split / row["file_name"], height=height, width=width)
        rows = [part for part in tables.annotations if part["image_id"] == row["id"]]
        masks = np.stack([decode_mask(read_mask(part["segmentation"], height, width)) for part in rows])
        area_R = masks.sum(axis=(1, 2))
        for top in range(0, height - TILE + 1, TILE):
            for left in range(0, width - TILE + 1, TILE):
                window = (slice(top, top + TILE), slice(left, left + TILE))
                seen = masks[:, *window]
                seen_R = seen.sum(axis=(1, 2))
                kept = seen[(seen_R >= SMALLEST_PART * area_R) & (seen_R >= SMALLEST_AREA)]
                if len(kept):
                    yield (
                        number,
                        Shown(
                            pixels=np.ascontiguousarray(pixels[window]),
                            masks=list(kept),
                            categories=["nucleus"] * len(kept),
                        ),
                    )


def _draw(tiles: list[tuple[int, Shown]]) -> list[tuple[int, Shown]]:
    """Draw the tiles that are asked about, the same ones every time."""
    draw, kept = np.random.default_rng(0), []
    for number in sorted({number for number, _ in tiles}):
        of_image = [tile for tile in tiles if tile[0] == number]
        chosen = np.sort(draw.permutation(len(of_image))[:TILES_ASKED])
        kept += [of_image[place] for place in chosen.tolist()]
    return kept


def _write(folder: Path, name: str, images: Iterator[Shown]) -> tuple[ImageRecord, ...]:
    """Write images and return their records."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    records, region_id = [], 0
    for number, shown in enumerate(images):
        file = f"{name}/{number:05d}.png"
        Image.fromarray(shown.pixels).save(folder / file)
        regions = []
        for mask, category in zip(shown.masks, shown.categories, strict=True):
            region_id += 1
            box = _box(mask)
            regions.append(
                RegionRecord(region_id=region_id, category=category, box_xyxy=box, mask=encode_mask(mask))
            )
        records.append(
            ImageRecord(
                image_id=number + 1,
                file=file,
                height=shown.pixels.shape[0],
                width=shown.pixels.shape[1],
                sha256=hashlib.sha256((folder / file).read_bytes()).hexdigest(),
                regions=tuple(regions),
            )
        )
    return tuple(records)


def _box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1.0, float(rows[-1]) + 1.0
