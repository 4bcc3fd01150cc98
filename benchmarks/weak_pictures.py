"""What the benchmark of scribbles learns and is asked: nuclei, and scenes of the synthetic world."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.weak_world import draw_world
from models.segmentation.preprocessing import contrast_range, stretch
from tasks.data.images import read_rgb
from tasks.data.instance_folder import read_instance_split
from tasks.data.label_maps import target_table
from tasks.data.regions import Regions, regions_of_masks
from tasks.data.weak_labels import Policy, WeakCounts, count_weak, generator_for, weaken_regions

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"
SCENE_SIZE = 96
"""Height and width of a scene of the world, in pixels."""


class Picture(NamedTuple):
    """One image and everything that is true of it."""

    name: str
    pixels: Tensor
    """RGB, uint8, shape (3, height, width)."""
    regions: Regions
    """Objects, and the background as one region more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticProblem:
    """Pictures to learn from and pictures to be asked about."""

    name: str
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    asked: tuple[Picture, ...]

    def digest(self) -> str:
        """Return a hash of all pixels and regions."""
        total = hashlib.sha256()
        for picture in (*self.train, *self.asked):
            for part in (picture.pixels.numpy(), picture.regions.numbers, picture.regions.values):
                total.update(np.ascontiguousarray(part).tobytes())
        return total.hexdigest()


def nuclei_problem() -> SemanticProblem:
    """Take the nuclei of ``data/sample`` as pixels of one class, train to learn from and val to be asked."""
    return SemanticProblem(
        name="nuclei",
        classes=("background", "nucleus"),
        train=read_nuclei("train"),
        asked=read_nuclei("val"),
    )


def world_problem(seed: int = 0, *, train: int = 800, asked: int = 100) -> SemanticProblem:
    """Take scenes of two worlds, with the seeds 2 ``seed`` and 2 ``seed`` + 1; every shape is of one class.

    To tell ellipses from rectangles takes far more steps than to find them, and would drown in its noise what
    is asked here: where do regions end?
    """
    return SemanticProblem(
        name="world",
        classes=("background", "shape"),
        train=draw_pictures(2 * seed, train),
        asked=draw_pictures(2 * seed + 1, asked),
    )


def read_nuclei(split: str) -> tuple[Picture, ...]:
    """Read a split of the sample, contrast stretched image by image: microscopes leave images dark."""
    source = read_instance_split(SAMPLE, split, "objects")
    pictures = []
    for image in source.images:
        pixels = read_rgb(source.folder / image.image, height=image.height, width=image.width)
        dark = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        bright = stretch(dark, contrast_range(dark)).mul(255.0).round().to(torch.uint8)
        pictures.append(Picture(image.image, bright, source.regions(image)))
    return tuple(pictures)


def draw_pictures(seed: int, count: int) -> tuple[Picture, ...]:
    """Draw scenes of the synthetic world."""
    void = np.zeros((SCENE_SIZE, SCENE_SIZE), np.bool_)
    pictures = []
    for number, scene in enumerate(draw_world(seed, count, SCENE_SIZE)):
        regions = regions_of_masks(list(scene.masks), [1] * len(scene.masks), void, background=0)
        pixels = torch.from_numpy(scene.pixels).permute(2, 0, 1).contiguous()
        pictures.append(Picture(f"scene {number} of world {seed}", pixels, regions))
    return tuple(pictures)


def draw_targets(
    problem: SemanticProblem, policy: Policy, *, seed: int
) -> tuple[tuple[Tensor, ...], WeakCounts]:
    """Draw the labels of all training pictures as targets of a model, and count them."""
    table = target_table(range(len(problem.classes)))
    targets, counts = [], WeakCounts(labelled=0, with_class=0, pixels=0, regions=0, regions_marked=0)
    for picture in problem.train:
        labels = weaken_regions(picture.regions, policy, generator_for(seed, picture.name))
        counts += count_weak(labels, picture.regions)
        targets.append(torch.from_numpy(table[labels]))
    return tuple(targets), counts
