"""Two files in COCO form that Osprey trains on, as facts: captions stand where COCO has none.

* Visual Genome with masks drawn from its boxes: ``annotations[].caption``; what has ``"ignore": true`` or 1
  is left out, as the file says.
* RefCOCO with masks: each expression has an entry in ``images``, with ``caption`` and the id of the picture
  in ``original_id``; its annotation is what the expression means, with its own ``original_id``.

Source: the loaders of https://github.com/CircleRadon/Osprey. As there, ``iscrowd`` decides nothing: a caption
is about its annotation, be it a crowd or not.
"""

from collections.abc import Callable
from pathlib import Path

from tasks.data.coco import read_flag
from tasks.data.coco_facts import Row, malformed, read_annotations, read_table
from tasks.data.refcoco import check_types
from tasks.data.region_facts import FactRegion, RegionFacts, read_place
from tasks.data.region_records import SampleRegion
from tasks.data.strict_json import JsonValue


def read_captioned_regions(path: Path, *, dataset: str, split: str = "train") -> list[RegionFacts]:
    """Read a file whose annotations have captions.

    Args:
        path: In COCO form.
        dataset: Stands in the facts.
        split: Stands in the facts.

    Returns:
        One entry an image, in order of the file, one text a region; images without a region have an entry.

    Raises:
        DataError: With the file and the annotation, if it is malformed, names an image that is not there, has
            no caption, an ``ignore`` that is no flag, an empty mask, or a place outside its image.
    """

    def text(row: Row, _: Row) -> str | None:
        if read_flag(row, "ignore"):
            return None
        return str(check_types(row, "an annotation", caption=str)["caption"])

    return _read(path, dataset, split, text)


def read_captioned_images(path: Path, *, dataset: str, split: str = "train") -> list[RegionFacts]:
    """Read a file whose images are expressions about their one annotation.

    Args:
        path: In COCO form.
        dataset: Stands in the facts.
        split: Stands in the facts.

    Returns:
        One entry an expression, in order of the file.

    Raises:
        DataError: As ``read_captioned_regions``, or if an expression has not exactly one annotation.
    """

    def text(_: Row, image: Row) -> str | None:
        return str(check_types(image, "an image", caption=str, original_id=int)["caption"])

    facts = _read(path, dataset, split, text)
    for image in facts:
        if len(image.regions) != 1:
            raise malformed(
                f"{path} image {image.image_id}",
                f"an expression must have exactly one annotation, got {len(image.regions)}.",
            )
    return facts


def _read(path: Path, dataset: str, split: str, text: Callable[[Row, Row], str | None]) -> list[RegionFacts]:
    names = {row["id"]: row.get("name") for row in read_table(path, "categories", optional=True)}

    def region(row: Row, image: Row) -> FactRegion | None:
        said = text(row, image)
        if said is None:
            return None
        kind = row.get("category_id")
        label = names.get(kind) if type(kind) is int else None
        place = _region(row, (image["height"], image["width"]), label)
        return FactRegion(region=place, texts=(said,))

    return read_annotations(path, region, dataset=dataset, split=split)


def _region(row: Row, size: tuple[int, int], name: JsonValue) -> SampleRegion:
    if "segmentation" not in row:
        raise ValueError("an annotation must have 'segmentation'.")
    box, mask = read_place(row, size)
    return SampleRegion(box_xyxy=box, mask=mask, label=name if isinstance(name, str) else None)
