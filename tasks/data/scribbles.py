"""Scribbles of ScribbleSup: one XML file per image, open polylines with a class, as the authors write them.

::

    annotation
      folder, filename, source, owner, segmented     not needed, not looked into
      size        width, height, depth
      polygon     tag, then point (X, Y), point, ...  one scribble; in spite of its name it is not closed

X and Y are whole pixels from the top left pixel. Class names are those of PASCAL VOC, of which the authors
shorten some. Source: Lin et al., ScribbleSup, arXiv 1604.05144, and the readme of its annotations. Difference
to the drawings that are handed around: a pixel that scribbles of two classes reach has no label
(``strokes``); there the later scribble wins.

The parser is expat with every way out closed: a file with a document type, in which entities would be
declared, is refused before one is, and so is a file above 4 MiB.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal
from xml.parsers import expat

import numpy as np

from tasks.data.images import MAX_PIXELS
from tasks.data.strokes import RADIUS, Drawing, Stroke, draw_strokes
from tasks.errors import DataError

VOC_CLASSES: Final = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
"""The 21 classes of PASCAL VOC; the place is the value in a label map."""
VOC_ALIASES: Final = MappingProxyType(
    {
        "plane": "aeroplane",
        "bike": "bicycle",
        "table": "diningtable",
        "plant": "pottedplant",
        "monitor": "tvmonitor",
    }
)
"""What the annotators of the scribbles wrote -> name in PASCAL VOC."""
VOC_VALUES: Final = MappingProxyType(
    {name: value for value, name in enumerate(VOC_CLASSES)}
    | {alias: VOC_CLASSES.index(name) for alias, name in VOC_ALIASES.items()}
)
"""Every name that may stand in a tag -> value in a label map."""
MAX_BYTES = 4 << 20
"""Largest file that is read; a scribble of a thousand points takes 60 KiB."""
Outside = Literal["refuse", "clip"]
"""What to do with points outside the image: refuse the file, or draw what part of the stroke lies inside."""

_READ: Final = {
    "annotation": ("size", "polygon"),
    "annotation/size": ("width", "height", "depth"),
    "annotation/polygon": ("tag", "point"),
    "annotation/polygon/point": ("X", "Y"),
}
_SKIPPED: Final = ("folder", "filename", "source", "owner", "segmented")
_INTEGER = re.compile(r"-?[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scribbles:
    """The scribbles of one image."""

    height: int
    width: int
    strokes: tuple[Stroke, ...]
    """In the order of the file."""
    outside: int
    """Points outside the image; 0 unless they were asked to be clipped."""

    def draw(self, *, radius: float = RADIUS) -> Drawing:
        """Draw the scribbles, 3 pixels wide unless told otherwise, into a label map."""
        return draw_strokes(self.strokes, self.height, self.width, radius=radius)


def read_scribbles(
    path: Path,
    *,
    height: int | None = None,
    width: int | None = None,
    values: Mapping[str, int] = VOC_VALUES,
    outside: Outside = "refuse",
) -> Scribbles:
    """Read the scribbles of one image.

    Args:
        path: XML file.
        height: Of the image in pixels, if known.
        width: Of the image in pixels, if known.
        values: Tag -> value in a label map, 0 to 253.
        outside: ``refuse`` a file with a point outside its image, or ``clip`` its strokes at the border. In
            the published files some points do lie outside.

    Raises:
        DataError: With file, line, element and value, if the file is missing, too large, no well-formed XML,
            holds a document type, an attribute or an element of another form, an unknown tag, a number that
            is none, another size than the image, a point outside it, or no scribble.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise _invalid(str(path), f"cannot be read: {error.strerror}.") from error
    if size > MAX_BYTES:
        raise _invalid(str(path), f"has {size} bytes, scribbles of one image have at most {MAX_BYTES}.")
    parser = _Parser()
    try:
        parser.parse(content)
        return _build(parser, height, width, values, outside)
    except expat.ExpatError as error:
        message = f"is not well-formed XML: {expat.ErrorString(error.code)}, column {error.offset}."
        raise _invalid(f"{path} line {error.lineno}", message) from error
    except _Refused as error:
        raise _invalid(f"{path} line {error.line}", str(error)) from error


class _Refused(ValueError):
    """A value or element that must not be there, with its line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True, kw_only=True)
class _Node:
    """One element that is read: its children by name, or its text."""

    name: str
    line: int
    text: str = ""
    children: "dict[str, list[_Node]]" = field(default_factory=dict)

    def only(self, name: str) -> "_Node":
        """Return the child of which there must be one. Raises _Refused."""
        found = self.children.get(name, [])
        if len(found) != 1:
            raise _Refused(self.line, f"<{self.name}> must have one <{name}>, got {len(found)}.")
        return found[0]

    def integer(self) -> int:
        """Return the text as a whole number. Raises _Refused."""
        if not _INTEGER.fullmatch(self.text.strip()):
            raise _Refused(
                self.line,
                f"<{self.name}> must be a whole number of at most 6 digits, got {self.text[:40]!r}.",
            )
        return int(self.text)


class _Parser:
    """Turns the elements of ``_READ`` into nodes and refuses everything that is neither read nor skipped."""

    def __init__(self) -> None:
        self.root: _Node | None = None
        self._open: list[_Node] = []
        self._skipping = 0
        self._expat = expat.ParserCreate()
        self._expat.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._expat.StartDoctypeDeclHandler = self._refuse_doctype
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters

    def parse(self, content: bytes) -> None:
        """Read a whole document. Raises ExpatError, _Refused."""
        self._expat.Parse(content, True)

    def _refuse_doctype(self, name: str, *_: object) -> None:
        raise _Refused(
            self._expat.CurrentLineNumber, f"declares the document type {name[:40]!r}; scribbles need none."
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self._expat.CurrentLineNumber
        if self._skipping or (len(self._open) == 1 and name in _SKIPPED):
            self._skipping += 1
            return
        path = "/".join(node.name for node in self._open)
        allowed = _READ.get(path, ()) if self._open else ("annotation",)
        if name not in allowed:
            place = f"in <{path}>" if path else "as the first element"
            names = ", ".join(f"<{other}>" for other in allowed) or "none"
            raise _Refused(line, f"element <{name[:40]}> {place} is unknown; allowed: {names}.")
        if attributes:
            raise _Refused(line, f"<{name}> must have no attribute, got {next(iter(attributes))[:40]!r}.")
        node = _Node(name=name, line=line)
        if self._open:
            self._open[-1].children.setdefault(name, []).append(node)
        else:
            self.root = node
        self._open.append(node)

    def _end(self, _name: str) -> None:
        if self._skipping:
            self._skipping -= 1
        else:
            self._open.pop()

    def _characters(self, text: str) -> None:
        if self._skipping:
            return
        node = self._open[-1]
        path = "/".join(other.name for other in self._open)
        if path in _READ and text.strip():
            raise _Refused(
                self._expat.CurrentLineNumber, f"<{node.name}> must hold elements alone, got {text[:40]!r}."
            )
        node.text += text


def _build(
    parser: _Parser, height: int | None, width: int | None, values: Mapping[str, int], outside: Outside
) -> Scribbles:
    root = parser.root
    if root is None:
        raise _Refused(1, "holds no element.")
    size = root.only("size")
    found = {side: size.only(side).integer() for side in ("width", "height")}
    if min(found.values()) < 1 or found["width"] * found["height"] > MAX_PIXELS:
        raise _Refused(
            size.line, f"<size> must be 1 to {MAX_PIXELS} pixels, got {found['width']}x{found['height']}."
        )
    for side, expected in (("width", width), ("height", height)):
        if expected is not None and found[side] != expected:
            raise _Refused(size.line, f"<{side}> is {found[side]}, the image has {expected}.")
    polygons = root.children.get("polygon", [])
    if not polygons:
        raise _Refused(root.line, "<annotation> has no <polygon>: there is no scribble.")
    strokes, count = [], 0
    for polygon in polygons:
        stroke, strays = _stroke(polygon, found["width"], found["height"], values)
        if strays and outside == "refuse":
            raise strays[0]
        strokes.append(stroke)
        count += len(strays)
    return Scribbles(height=found["height"], width=found["width"], strokes=tuple(strokes), outside=count)


def _stroke(
    polygon: _Node, width: int, height: int, values: Mapping[str, int]
) -> tuple[Stroke, list[_Refused]]:
    """Read one scribble, and say which of its points lie outside."""
    tag = polygon.only("tag")
    if (name := tag.text.strip()) not in values:
        raise _Refused(tag.line, f"<tag> {name[:40]!r} is no class; classes: {', '.join(values)}.")
    nodes = polygon.children.get("point", [])
    if not nodes:
        raise _Refused(polygon.line, f"<polygon> of {name!r} has no <point>.")
    points, strays = [], []
    for node in nodes:
        x, y = node.only("X").integer(), node.only("Y").integer()
        points.append((x, y))
        if not (0 <= x < width and 0 <= y < height):
            message = f"<point> ({x}, {y}) of {name!r} lies outside the image of {width}x{height}."
            strays.append(_Refused(node.line, message))
    return Stroke(value=values[name], points_xy=np.array(points, dtype=np.float64)), strays


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the file, or fetch it again.")
