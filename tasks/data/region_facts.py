"""What is known about the regions of an image, from which questions are made (``tasks.data.region_samples``).

COCO, LVIS and RefCOCO are read by their own readers; here their records become facts. Source of the idea:
Yuan et al., "Osprey" (arXiv 2312.10032), Section 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.coco import read_box, read_mask
from tasks.data.lvis import LvisSplit
from tasks.data.records import ImageRecord, MaskRle
from tasks.data.refcoco import check_types
from tasks.data.referring import ReferredRegion, ReferringRecord
from tasks.data.region_records import Box, SampleRegion, check_file, check_words, outside
from tasks.data.strict_json import read_json
from tasks.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRegion:
    """One region and what was said about it."""

    region: SampleRegion
    texts: tuple[str, ...] = ()
    """Expressions, captions or a description, each about this region alone."""

    def __post_init__(self) -> None:
        """Refuse blank texts. Raises ValueError."""
        for text in self.texts:
            check_words(text)
            if not text.strip():
                raise ValueError("a text about a region is blank.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionFacts:
    """One image and its regions, any number of them."""

    dataset: str
    split: str
    """Empty where there is none."""
    image_id: str
    """Unique in its dataset and split."""
    file: str
    """POSIX path of the image in its dataset."""
    size: tuple[int, int]
    """Height and width of the image in pixels."""
    regions: tuple[FactRegion, ...]

    def __post_init__(self) -> None:
        """Refuse paths, sizes and regions that no later code should meet. Raises ValueError."""
        if not self.dataset or not self.image_id:
            raise ValueError("facts must have a dataset and an image id.")
        check_file(self.file, self.size)
        for number, fact in enumerate(self.regions, start=1):
            if reason := outside(fact.region, self.size):
                raise ValueError(f"region {number} of {len(self.regions)}: {reason}")


def facts_of_images(records: Iterable[ImageRecord], *, dataset: str, split: str) -> list[RegionFacts]:
    """Take the regions of COCO records with their categories; crowds are no regions.

    Raises:
        DataError: Naming the region, if its mask has no pixel.
    """
    return [
        _facts(
            dataset,
            split,
            str(record.image_id),
            record.file,
            (record.height, record.width),
            (
                (f"region {row.region_id}", row.box_xyxy, row.mask, row.category, ())
                for row in record.regions
                if not row.is_crowd
            ),
        )
        for record in records
    ]


def facts_of_expressions(records: Iterable[ReferringRecord]) -> list[RegionFacts]:
    """Gather the expressions about each region of each image.

    Expressions of no region, or of several at once, are about no region alone and are left out; so are those
    of a region and a crowd, which has no region of its own.

    Raises:
        DataError: Naming the region, if its mask has no pixel.
    """
    images: dict[tuple[str, str, int], dict[object, tuple[ReferredRegion, list[str]]]] = {}
    about: dict[tuple[str, str, int], ReferringRecord] = {}
    for record in records:
        if len(record.regions) != 1 or record.crowds:
            continue
        image = record.source, record.split, record.image_id
        about.setdefault(image, record)
        region = record.regions[0]
        key = region.box_xyxy if region.region_id is None else region.region_id
        images.setdefault(image, {}).setdefault(key, (region, []))[1].append(record.expression)
    return [
        _facts(
            image[0],
            image[1],
            str(image[2]),
            about[image].file,
            (about[image].height, about[image].width),
            (
                (f"region {key}", region.box_xyxy, region.mask, None, tuple(dict.fromkeys(texts)))
                for key, (region, texts) in regions.items()
            ),
        )
        for image, regions in images.items()
    ]


def facts_of_lvis(
    lvis: LvisSplit, files: Mapping[int, str], *, dataset: str, split: str
) -> list[RegionFacts]:
    """Take the regions of LVIS with their categories as they are spoken: ``aerosol can``.

    Args:
        lvis: From ``tasks.data.lvis.read_lvis``.
        files: Id of an image -> its file, from ``lvis_files``.
        dataset: Stands in the facts.
        split: Stands in the facts.

    Raises:
        DataError: If an image has no file, or a mask no pixel.
    """
    names = [category.name.replace("_", " ") for category in lvis.categories]
    facts = []
    for image in lvis.images:
        truth = image.truth
        if truth.image_id not in files:
            raise _invalid(f"image {truth.image_id} of {dataset}", "has no file.")
        numbers, kinds = truth.region_ids.tolist(), truth.categories.tolist()
        rows: list[_Row] = [
            (
                f"region {number}",
                (box[0], box[1], box[2], box[3]),
                MaskRle.from_json(dict(mask)),
                names[kind],
                (),
            )
            for number, kind, box, mask in zip(
                numbers, kinds, truth.boxes_xyxy.tolist(), truth.masks, strict=True
            )
        ]
        size = truth.height, truth.width
        facts.append(_facts(dataset, split, str(truth.image_id), files[truth.image_id], size, rows))
    return facts


def lvis_files(path: Path) -> dict[int, str]:
    """Read which file an image of LVIS is: the last two parts of ``coco_url``.

    Raises:
        DataError: With the file and the image, if there is none.
    """
    document = read_json(path)
    rows = document.get("images") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise _invalid(str(path), "'images' must be a list of objects.")
    files: dict[int, str] = {}
    for number, row in enumerate(rows, start=1):
        try:
            check_types(row, "an image", id=int, coco_url=str)
            folder, _, name = row["coco_url"].rpartition("/")
            files[row["id"]] = f"{folder.rpartition('/')[2]}/{name}"
            if not folder or not name:
                raise ValueError(f"coco_url must end in <folder>/<file>, got {row['coco_url'][:80]!r}.")
        except ValueError as error:
            raise _invalid(f"{path} image {number}", str(error)) from error
    return files


def read_place(row: Mapping[str, Any], size: tuple[int, int]) -> tuple[Box | None, MaskRle | None]:
    """Read where an annotation in COCO form lies: ``bbox`` as ``xywh``, ``segmentation``, or both.

    Polygons of fewer than three points are left out beside others.

    Raises:
        ValueError: If there is neither, one is malformed, or it leaves the image by more than a pixel.
    """
    height, width = size
    box, shape = row.get("bbox"), row.get("segmentation")
    if box is None and shape is None:
        raise ValueError("an annotation must have 'bbox', 'segmentation', or both.")
    if isinstance(shape, list):
        shape = [part for part in shape if not isinstance(part, list) or len(part) >= 6] or shape
    return (
        None if box is None else read_box(box, size),
        None if shape is None else read_mask(shape, height, width),
    )


_Row = tuple[str, Box | None, MaskRle | None, str | None, tuple[str, ...]]


def _facts(
    dataset: str, split: str, image_id: str, file: str, size: tuple[int, int], rows: Iterable[_Row]
) -> RegionFacts:
    regions = []
    for name, box, mask, label, texts in rows:
        try:
            place = SampleRegion(box_xyxy=box, mask=mask, label=label)
            regions.append(FactRegion(region=place, texts=texts))
        except ValueError as error:
            raise _invalid(f"{dataset} {split} image {image_id} {name}", str(error)) from error
    try:
        return RegionFacts(
            dataset=dataset, split=split, image_id=image_id, file=file, size=size, regions=tuple(regions)
        )
    except ValueError as error:
        raise _invalid(f"{dataset} {split} image {image_id}", str(error)) from error


def labels_of(facts: Sequence[RegionFacts]) -> tuple[str, ...]:
    """Return the categories that occur, each once, in the order of the alphabet."""
    found = {fact.region.label for image in facts for fact in image.regions}
    return tuple(sorted(label for label in found if label is not None))


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the file, or fetch it again.")
