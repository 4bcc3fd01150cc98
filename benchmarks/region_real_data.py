"""Real data for ``benchmarks.region_real``: samples by the command's own operation, and regions that lie.

Objects are asked about one by one, each in a sample of its own: the same image then has several answers, and
only the region tells which is right. Shuffled regions are those of other samples, scaled to the image: the
questions, the images and the answers stay, so whatever is still right is not read from the region.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasks.data.commit import commit_directory
from tasks.data.region_directory import (
    REGION_SAMPLES_SCHEMA,
    SAMPLES,
    count_samples,
    read_region_directory,
)
from tasks.data.region_questions import questions_of
from tasks.data.region_records import RegionMark, RegionSample, SampleRegion
from tasks.data.region_sample_files import dump_samples
from tasks.data.rle import decode_mask, encode_mask
from tasks.operations.importing_regions import RegionImport, import_regions
from tasks.operations.region_sources import RegionSource

Lesson = Literal["expressions", "categories"]
IMAGES = 32
"""Overfitted."""
MOST = 4
"""Regions of an image that are asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealData:
    """Where one lesson's samples and images are."""

    train: Path
    shuffled: Path
    """The same with regions of other samples."""
    val: Path
    """Of images that are not among those of ``train``."""
    images: dict[str, Path]
    """Folder of the images, by split."""
    counts: dict[str, Any]


def prepare(lesson: Lesson, data: Path, work: Path) -> RealData:
    """Import the files of a lesson.

    Args:
        lesson: ``expressions`` of ``refcocos_open``, or ``categories`` of ``coco_open``.
        data: Folder that holds both, as they are published.
        work: Folder to write to.
    """
    folder = data / ("refcocos_open" if lesson == "expressions" else "coco_open")
    name = "refs" if lesson == "expressions" else "instances"
    counts: dict[str, Any] = {}
    for split, limit in (("train", IMAGES), ("val", None)):
        source = RegionSource(
            form="refcoco" if lesson == "expressions" else "coco",
            files=(folder / "annotations" / f"{name}_{split}.json",),
            dataset=lesson,
            split=split,
        )
        wanted = RegionImport(source=source, out=work / split, most=MOST, limit=limit)
        import_regions(wanted)
        found = read_region_directory(work / split).samples
        single = [one for sample in found for one in _one_by_one(sample)]
        _commit(work / split, single)
        counts[split] = count_samples(single) | {"most_common_answer": _most_common(single)}
    _commit(work / "shuffled", _shuffled(read_region_directory(work / "train").samples))
    return RealData(
        train=work / "train",
        shuffled=work / "shuffled",
        val=work / "val",
        images={split: folder / split for split in ("train", "val")},
        counts=counts,
    )


def _commit(folder: Path, samples: Sequence[RegionSample]) -> None:
    content = dump_samples(samples)

    def write(staging: Path) -> None:
        (staging / SAMPLES).write_bytes(content)

    commit_directory(folder, write, schema=REGION_SAMPLES_SCHEMA)


def _one_by_one(sample: RegionSample) -> Iterator[RegionSample]:
    """Make a sample of each question, with the one region that it is about."""
    image, _, kind = sample.sample_id.rpartition("/")
    for turn in range(0, len(sample.turns), 2):
        question, answer = sample.turns[turn : turn + 2]
        (index,) = question.marks
        parts = tuple(RegionMark(0) if isinstance(part, RegionMark) else part for part in question.parts)
        yield replace(
            sample,
            sample_id=f"{image}/{turn // 2 + 1}/{kind}",
            regions=(sample.regions[index],),
            turns=(replace(question, parts=parts), answer),
        )


def _most_common(samples: Sequence[RegionSample]) -> float:
    """Return the share of questions that one and the same answer would answer."""
    answers = Counter(question.reference for question in questions_of(samples))
    return round(max(answers.values()) / sum(answers.values()), 4)


def _shuffled(samples: Sequence[RegionSample]) -> list[RegionSample]:
    """Give each region the place of the one half of all regions further on."""
    every = [(region, sample.size or (1, 1)) for sample in samples for region in sample.regions]
    moved, place = [], 0
    for sample in samples:
        regions = []
        for region in sample.regions:
            other, size = every[(place + len(every) // 2) % len(every)]
            regions.append(_scaled(other, size, sample.size or (1, 1), label=region.label))
            place += 1
        moved.append(replace(sample, regions=tuple(regions)))
    return moved


def _scaled(
    region: SampleRegion, size: tuple[int, int], wanted: tuple[int, int], *, label: str | None
) -> SampleRegion:
    """Put a region of an image of one size where it would be in another."""
    if region.mask is not None:
        rows, columns = (
            np.minimum((np.arange(side) + 0.5) * own / side, own - 1).astype(int)
            for side, own in zip(wanted, size, strict=True)
        )
        mask = decode_mask(region.mask)[rows][:, columns]
        if mask.any():
            return SampleRegion(mask=encode_mask(mask), label=label)
    y, x = wanted[0] / size[0], wanted[1] / size[1]
    left, top, right, bottom = region.box()
    box = (left * x, top * y, min(right * x, float(wanted[1])), min(bottom * y, float(wanted[0])))
    return SampleRegion(box_xyxy=box, label=label)
