"""A mix of directories of region samples: which of them a training sees, and how often.

A mix is a YAML list; its paths are relative to the folder in which the command runs, as all paths are:

    - {samples: artifacts/regions, images: data/coco}
    - {samples: artifacts/boxes, images: data/coco, share: 0.5, shown: box}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from tasks.config import load_list
from tasks.data.commit import MANIFEST, read_manifest
from tasks.data.datasets import generator_of
from tasks.data.region_directory import read_region_directory
from tasks.data.region_records import RegionSample
from tasks.errors import DataError, UsageError

Shown = Literal["mask", "box"]
_IMAGES = "Name the folder that `file` of a sample is relative to: --images DIR, or `images` in the mix."
_SHARES = 1
"""Stream of the draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPart:
    """One directory of samples."""

    samples: str
    """Directory that ``groundwork data import-regions`` made."""
    images: str | None = None
    """Folder that their files are relative to; None: they are text alone."""
    share: float = 1.0
    """How often each sample is seen in an epoch: 0.5 takes half of them, 2.5 takes all twice and half of them
    once more. Which half is drawn from the seed."""
    shown: Shown = "mask"
    """What stands for a region that has both."""

    def __post_init__(self) -> None:
        """Refuse shares that take nothing.

        Raises:
            ValueError: With the value.
        """
        if not 0.0 < self.share <= 1000.0:
            raise ValueError(f"share must be above 0 and at most 1000, got {self.share}.")


class MixSample(NamedTuple):
    """A sample, and where its image is."""

    sample: RegionSample
    images: Path | None
    shown: Shown

    @property
    def name(self) -> str:
        """Dataset, split and id."""
        return f"{self.sample.dataset}/{self.sample.split}/{self.sample.sample_id}"

    @property
    def image(self) -> Path | None:
        """File of its image."""
        if self.sample.file is None or self.images is None:
            return None
        return self.images / self.sample.file


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMix:
    """A mix whose samples are read."""

    samples: tuple[MixSample, ...]
    """Of an epoch; one that is seen twice stands twice."""
    sources: tuple[dict[str, Any], ...]
    """Of each part its hashes, share and number of samples, as JSON values."""


def read_mix(data: Path, images: Path | None) -> tuple[MixPart, ...]:
    """Return the parts of a mix, or a directory of samples as a mix of one.

    Raises:
        UsageError: If it is neither, the file is refused, or images are named beside a file that names them.
    """
    if data.is_dir():
        return (MixPart(samples=str(data), images=None if images is None else str(images)),)
    if data.suffix not in (".yaml", ".yml"):
        raise UsageError(
            "is no directory of samples and no .yaml file.",
            obj=str(data),
            hint="Make a directory by `groundwork data import-regions`, or name a mix.",
        )
    if images is not None:
        raise UsageError(
            "belongs to a directory of samples; a mix names its own.",
            obj=f"--images {images}",
            hint=f"Leave out --images, and say `images: {images}` in {data}.",
        )
    return load_list(data, MixPart)


def open_mix(parts: Sequence[MixPart], *, seed: int) -> OpenMix:
    """Read the samples of a mix, and find every image.

    Args:
        parts: In order.
        seed: Decides which samples a share takes.

    Raises:
        UsageError: If samples have images and no folder of them is named.
        DataError: If a part has no sample, a share takes none, or images are missing.
        IntegrityError: If a directory is damaged or none of samples.
    """
    samples: list[MixSample] = []
    sources = []
    for number, part in enumerate(parts):
        found = read_region_directory(Path(part.samples))
        taken = _taken(len(found.samples), part.share, generator_of(seed, number, _SHARES))
        if not taken:
            raise DataError(
                f"has {len(found.samples)} samples, of which a share of {part.share:g} takes none.",
                obj=part.samples,
                hint="Raise `share`, or leave the directory out of the mix.",
            )
        images = None if part.images is None else Path(part.images)
        mixed = [MixSample(found.samples[place], images, part.shown) for place in taken]
        _find_images(mixed, part)
        samples += mixed
        sources.append(
            {
                "samples_sha256": found.sha256,
                "images_sha256": _version(images),
                "share": part.share,
                "shown": part.shown,
                "samples": len(taken),
            }
        )
    return OpenMix(samples=tuple(samples), sources=tuple(sources))


def _taken(count: int, share: float, generator: torch.Generator) -> list[int]:
    """Return the places that a share takes, in order; whole shares take all."""
    whole = int(share)
    extra = round((share - whole) * count)
    drawn = sorted(torch.randperm(count, generator=generator)[:extra].tolist())
    return [*list(range(count)) * whole, *drawn]


def _find_images(samples: Sequence[MixSample], part: MixPart) -> None:
    with_image = [mixed for mixed in samples if mixed.sample.file is not None]
    if with_image and part.images is None:
        raise UsageError(
            f"has {len(with_image)} samples with images, and no folder of them is named.",
            obj=part.samples,
            hint=_IMAGES,
        )
    paths = {mixed.image for mixed in with_image}
    if missing := sorted(str(path) for path in paths if path is not None and not path.is_file()):
        raise DataError(
            f"lacks {len(missing)} of {len(paths)} images, such as {missing[0]}.",
            obj=str(part.images),
            hint=_IMAGES,
        )


def _version(images: Path | None) -> str | None:
    """Return the hash of a folder that was committed; others have none."""
    if images is None or not (images / MANIFEST).is_file():
        return None
    return read_manifest(images).sha256
