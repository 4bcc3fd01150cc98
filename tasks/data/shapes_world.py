"""Coloured shapes on grey noise, with everything that is true about them: a world small enough to know.

A scene follows from its seed and its number alone. Masks are what can be seen: a shape in front takes
pixels from those behind it, and never so many that less than ``VISIBLE`` of them is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Box: TypeAlias = tuple[float, float, float, float]
Crowding: TypeAlias = Literal["apart", "overlapping"]

SHAPES: Final = ("circle", "square", "triangle", "cross")
COLOURS: Final = {
    "red": (215, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 225),
    "yellow": (235, 215, 50),
    "white": (245, 245, 245),
    "black": (12, 12, 12),
}
"""Name -> red, green, blue."""
RADII: Final = {"small": (0.07, 0.09), "large": (0.16, 0.20)}
"""Size -> half a side, as a share of the image's side, from and to."""
VISIBLE: Final = 0.75
"""Smallest share of a shape that may be seen."""
_GREY: Final = (105, 150)
_SHARED: Final = 0.3  # of the smaller of two boxes that overlap
_TRIES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """What scenes look like."""

    side: int = 128
    """Of the square images, in pixels; at least 64."""
    least: int = 1
    """Smallest number of shapes."""
    most: int = 6
    """Largest number of shapes."""
    crowding: Crowding = "apart"
    """Whether boxes keep apart, or each shape is put where its box overlaps that of an earlier one, never of
    its colour. What later comes in front can shrink a box until it overlaps none: of 1,075 shapes, 2."""
    stripes: bool = False
    """Whether half of the shapes have a stripe of another colour: a part."""

    def __post_init__(self) -> None:
        """Refuse worlds that cannot be drawn. Raises ValueError."""
        lowest = 2 if self.crowding == "overlapping" else 1
        if self.side < 64 or not lowest <= self.least <= self.most <= 6:
            raise ValueError(
                f"side must be at least 64 and {lowest} <= least <= most <= 6, "
                f"got side {self.side}, least {self.least}, most {self.most}."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """One object."""

    shape: str
    colour: str
    size: str
    stripe: str | None
    """Colour of its stripe, if it has one."""
    mask: Mask
    """Its visible pixels, of the shape of the image."""
    stripe_mask: Mask
    """Those of the stripe; none without one."""

    @property
    def category(self) -> str:
        """Colour and shape."""
        return f"{self.colour} {self.shape}"

    @property
    def caption(self) -> str:
        """All that is to be said of it."""
        told = f"{self.size} {self.category}"
        return told if self.stripe is None else f"{told} with a {self.stripe} stripe"

    @property
    def box_xyxy(self) -> Box:
        """The tight box of the visible pixels."""
        return box_of(self.mask)

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box, as ``(x, y)`` in pixels."""
        left, top, right, bottom = self.box_xyxy
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """One image and its objects, those behind first."""

    number: int
    """From 1."""
    image: NDArray[np.uint8]
    """RGB, of shape (side, side, 3)."""
    objects: tuple[Shape, ...]


def draw_scene(seed: int, number: int, settings: WorldSettings) -> Scene:
    """Draw one scene.

    Args:
        seed: Of the world.
        number: Of the scene, from 1.
        settings: What scenes look like.

    Returns:
        The scene; the same arguments give the same pixels.
    """
    generator = np.random.default_rng([seed, number])
    while True:
        shapes = _placed(generator, settings, int(generator.integers(settings.least, settings.most + 1)))
        if len(shapes) >= settings.least:
            break
    image = generator.integers(*_GREY, size=(settings.side, settings.side, 1)).repeat(3, axis=2)
    for shape in shapes:
        _paint(image, shape.mask & ~shape.stripe_mask, shape.colour, generator)
        if shape.stripe is not None:
            _paint(image, shape.stripe_mask, shape.stripe, generator)
    return Scene(number=number, image=np.clip(image, 0, 255).astype(np.uint8), objects=tuple(shapes))


def expressions(scene: Scene, index: int) -> tuple[str, ...]:
    """Say which object is meant, in every way that fits no other object of the scene.

    Args:
        scene: The scene.
        index: Of the object.

    Returns:
        Attributes that no other object shares, the fewest first; then its place among those of its category,
        counted from the left or from the top. Empty only if others of its category share both coordinates.
    """
    target, others = scene.objects[index], [*scene.objects[:index], *scene.objects[index + 1 :]]
    kinds = ("size", "colour", "shape")

    def alone(names: Sequence[str]) -> bool:
        own = [getattr(target, name) for name in names]
        return all([getattr(other, name) for name in names] != own for other in others)

    kept = (names for count in (1, 2, 3) for names in combinations(kinds, count) if alone(names))
    found = [_phrase(target, names) for names in kept]
    alike = [other for other in scene.objects if other.category == target.category]
    for axis, end in ((0, "the left"), (1, "the top")):
        places = [other.centre[axis] for other in alike]
        if len(alike) > 1 and len({round(place) for place in places}) == len(alike):
            rank = sorted(places).index(target.centre[axis])
            found.append(f"the {_ORDINALS[rank]} {target.category} from {end}")
    return tuple(found)


_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth")


def _phrase(target: Shape, names: Sequence[str]) -> str:
    words = [getattr(target, name) for name in ("size", "colour") if name in names]
    return " ".join(["the", *words, target.shape if "shape" in names else "object"])


def count_questions(scene: Scene) -> tuple[tuple[str, str], ...]:
    """Ask how many there are: questions and answers about the whole image."""
    asked = [("How many objects are there?", str(len(scene.objects)))]
    for name in COLOURS:
        count = sum(shape.colour == name for shape in scene.objects)
        asked.append((f"How many {name} objects are there?", str(count)))
    for name in SHAPES:
        count = sum(shape.shape == name for shape in scene.objects)
        asked.append((f"How many objects are of the shape {name}?", str(count)))
    return tuple(asked)


def is_left_of(one: Shape, other: Shape) -> bool | None:
    """Say whether one object lies left of another; None if their centres are within a pixel."""
    gap = other.centre[0] - one.centre[0]
    return None if abs(gap) <= 1 else gap > 0


def box_of(mask: Mask) -> Box:
    """Return the tight ``(left, top, right, bottom)`` of a mask that has a pixel, in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _placed(generator: np.random.Generator, settings: WorldSettings, count: int) -> list[Shape]:
    """Place shapes one after the other; fewer than asked for if there is no room."""
    shapes: list[Shape] = []
    whole: list[int] = []  # pixels of each shape with nothing in front of it
    for _ in range(_TRIES):
        if len(shapes) == count:
            break
        anchor = shapes[int(generator.integers(len(shapes)))].box_xyxy if shapes else None
        new = _drawn(generator, settings, anchor if settings.crowding == "overlapping" else None)
        behind = [_covered(shape, new.mask) for shape in shapes]
        seen = all(
            shape.mask.sum() >= VISIBLE * area and (shape.stripe is None or shape.stripe_mask.any())
            for shape, area in zip(behind, whole, strict=True)
        )
        if seen and _fits(new, shapes, settings.crowding):
            shapes = [*behind, new]
            whole.append(int(new.mask.sum()))
    return shapes


def _paint(image: NDArray[np.int64], mask: Mask, name: str, generator: np.random.Generator) -> None:
    """Fill a mask with a colour and its noise, in place."""
    image[mask] = np.array(COLOURS[name]) + generator.integers(-10, 11, size=(int(mask.sum()), 3))


def _fits(new: Shape, shapes: Sequence[Shape], crowding: Crowding) -> bool:
    if not shapes:
        return True
    if crowding == "apart":
        return all(_overlap(new.box_xyxy, shape.box_xyxy, gap=2) == 0 for shape in shapes)
    touched = [shape for shape in shapes if _overlap(new.box_xyxy, shape.box_xyxy, gap=2) > 0]
    if any(shape.colour == new.colour for shape in touched):
        return False
    smaller = [min(_area(new.box_xyxy), _area(shape.box_xyxy)) for shape in shapes]
    shares = [
        _overlap(new.box_xyxy, shape.box_xyxy) / area for shape, area in zip(shapes, smaller, strict=True)
    ]
    return max(shares) >= _SHARED


def _drawn(generator: np.random.Generator, settings: WorldSettings, anchor: Box | None) -> Shape:
    """Draw one shape that lies in the image as a whole; with an anchor its centre lies in that box."""
    side = settings.side
    shape = SHAPES[int(generator.integers(len(SHAPES)))]
    colour, other = (list(COLOURS)[int(place)] for place in generator.choice(len(COLOURS), 2, replace=False))
    size = list(RADII)[int(generator.integers(len(RADII)))]
    radius = max(4, round(side * generator.uniform(*RADII[size])))
    lowest, highest = radius + 1, side - radius - 2
    left, top, right, bottom = anchor or (lowest, lowest, highest + 1, highest + 1)
    x0 = min(max(int(generator.integers(int(left), int(right))), lowest), highest)
    y0 = min(max(int(generator.integers(int(top), int(bottom))), lowest), highest)
    y, x = np.ogrid[:side, :side]
    dy, dx = y - y0, x - x0
    mask = _outline(shape, dx, dy, radius)
    striped = settings.stripes and bool(generator.integers(2))
    stripe = mask & (abs(dy) <= max(1, radius // 5)) & striped
    return Shape(
        shape=shape,
        colour=colour,
        size=size,
        stripe=other if striped else None,
        mask=mask,
        stripe_mask=stripe,
    )


def _outline(shape: str, dx: NDArray[np.int64], dy: NDArray[np.int64], radius: int) -> Mask:
    inside: Mask = (abs(dx) <= radius) & (abs(dy) <= radius)
    match shape:
        case "circle":
            inside = dx**2 + dy**2 <= radius**2
        case "triangle":
            inside &= 2 * abs(dx) <= dy + radius
        case "cross":
            arm = max(1, radius // 3)
            inside &= (abs(dx) <= arm) | (abs(dy) <= arm)
        case _:
            pass
    return inside


def _covered(shape: Shape, front: Mask) -> Shape:
    return Shape(
        shape=shape.shape,
        colour=shape.colour,
        size=shape.size,
        stripe=shape.stripe,
        mask=shape.mask & ~front,
        stripe_mask=shape.stripe_mask & ~front,
    )


def _area(box_xyxy: Box) -> float:
    left, top, right, bottom = box_xyxy
    return (right - left) * (bottom - top)


def _overlap(one: Box, other: Box, *, gap: float = 0) -> float:
    """Return the area that two boxes share, one of them grown by a gap."""
    width = min(one[2], other[2] + gap) - max(one[0], other[0] - gap)
    height = min(one[3], other[3] + gap) - max(one[1], other[1] - gap)
    return max(width, 0) * max(height, 0)
