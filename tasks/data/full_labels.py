"""One split of a fully labelled folder, whatever form its annotations have."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tasks.data.regions import Regions
from tasks.data.semantic_records import SemanticClasses

RegionKind = Literal["objects", "parts"]
"""What counts as one region: an object with a mask of its own, or a connected part of a class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullImage:
    """One image of a split."""

    image_id: int
    height: int
    width: int
    image: str
    """POSIX path of the photograph, relative to the folder."""
    name: str
    """POSIX path that a label map of this image gets, e.g. ``000000000030.png``; unique in the split."""
    files: tuple[str, ...]
    """Further files that its labels depend on, relative to the folder."""


class FullLabels(Protocol):
    """Images and the regions in them."""

    @property
    def folder(self) -> Path:
        """Folder that all paths are relative to."""

    @property
    def annotations(self) -> str:
        """File of the annotations, relative to the folder."""

    @property
    def classes(self) -> SemanticClasses:
        """What the values of regions mean."""

    @property
    def images(self) -> tuple[FullImage, ...]:
        """Ordered by image id."""

    def regions(self, image: FullImage) -> Regions:
        """Read the regions of one image. Raises DataError, naming file and cause."""


def check_names(images: tuple[FullImage, ...]) -> None:
    """Refuse an empty split, and two images with one id or one name. Raises ValueError."""
    if not images:
        raise ValueError("there is no image.")
    for what, items in (
        ("id", [str(image.image_id) for image in images]),
        ("name", [image.name for image in images]),
        ("file", [image.image for image in images]),
    ):
        if len(set(items)) != len(items):
            twice = next(item for item in items if items.count(item) > 1)
            raise ValueError(f"two images have the {what} {twice!r}.")
