"""Weak labels of one image out of its regions: points, scribbles, blocks, or all of it, by one name."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from tasks.data.label_maps import UNLABELLED, Labels
from tasks.data.regions import Regions
from tasks.data.weak_blocks import BlockPolicy, place_blocks
from tasks.data.weak_points import PointPolicy, place_points
from tasks.data.weak_scribbles import ScribblePolicy, scribble_regions

Kind = Literal["points", "scribbles", "blocks", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullPolicy:
    """Label every pixel that has a class: what weak labels are compared with."""


Policy: TypeAlias = PointPolicy | ScribblePolicy | BlockPolicy | FullPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakCounts:
    """How much of one image is labelled; sums of them describe a split."""

    labelled: int
    """Pixels that carry a label."""
    with_class: int
    """Pixels whose class is known, so could carry one."""
    pixels: int
    """All pixels."""
    regions: int
    """Regions in all."""
    regions_marked: int
    """Regions with at least one labelled pixel."""

    def __add__(self, other: "WeakCounts") -> "WeakCounts":
        mine, theirs = asdict(self), asdict(other)
        return WeakCounts(**{name: mine[name] + theirs[name] for name in mine})

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and the share of the pixels with a class that is labelled."""
        return asdict(self) | {
            "share": round(self.labelled / self.with_class, 6) if self.with_class else None
        }


def weaken_regions(regions: Regions, policy: Policy, generator: np.random.Generator) -> Labels:
    """Draw the weak labels that a policy describes.

    Args:
        regions: Of one image.
        policy: The kind of it decides the kind of labels.
        generator: Decides everything; equal states give equal labels.

    Returns:
        Label map of shape (height, width): true classes, UNLABELLED elsewhere.
    """
    match policy:
        case PointPolicy():
            return place_points(regions, policy, generator)
        case ScribblePolicy():
            return scribble_regions(regions, policy, generator)
        case BlockPolicy():
            return place_blocks(regions, policy, generator)
        case FullPolicy():
            return regions.labels()


def count_weak(labels: Labels, regions: Regions) -> WeakCounts:
    """Count what was drawn on one image."""
    marked = labels != UNLABELLED
    touched = np.unique(regions.numbers[marked])
    return WeakCounts(
        labelled=int(marked.sum()),
        with_class=int((regions.numbers > 0).sum()),
        pixels=labels.size,
        regions=len(regions.values),
        regions_marked=int((touched > 0).sum()),
    )


def generator_for(seed: int, name: str) -> np.random.Generator:
    """Make the generator of one image; the labels of an image do not depend on which others there are."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
    return np.random.default_rng([seed, *words.tolist()])
