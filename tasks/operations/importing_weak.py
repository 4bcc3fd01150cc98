"""``groundwork data import-weak``: weak labels that others wrote become a committed directory.

ScribbleSup writes one XML file an image, "What's the Point" one JSON file for all, blocks of Cityscapes and
ADE20K are one PNG an image. A list says which images are of the split; each must have its labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.data.commit import Manifest, commit_directory, hash_file, telling_of_disks
from tasks.data.images import read_rgb
from tasks.data.label_maps import Labels, read_label_map
from tasks.data.points import Click, draw_clicks, read_clicks
from tasks.data.scribbles import VOC_ALIASES, VOC_CLASSES, Outside, read_scribbles
from tasks.data.semantic_png import read_names
from tasks.data.semantic_records import SemanticClasses, read_classes
from tasks.data.target_directory import check_target
from tasks.errors import DataError, UsageError
from tasks.operations.label_writing import LabelWriter, check_images, write_json

IMPORTED_SCHEMA = "groundwork.imported_labels/1"
SUMMARY = "weak_labels.json"
Form = Literal["scribbles", "points", "blocks"]
VOC = SemanticClasses(names=VOC_CLASSES, values=tuple(range(len(VOC_CLASSES))), background=(0,))
"""What scribbles and points mean unless a table says otherwise."""
_LABEL_NAMES = {"scribbles": "{}.xml", "blocks": "{}.png"}
_PAPERS = ("readme", "license", "licence", "notice", "attribution", "citation")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakImport:
    """What to read, and where it is."""

    form: Form
    labels: tuple[Path, ...]
    """scribbles, blocks: one folder. points: JSON files, e.g. of objects and of the background."""
    images: Path
    listing: Path
    """One image name a line, without its ending."""
    out: Path
    """Directory to create, or one of this kind to replace."""
    classes: Path | None = None
    """``classes.json``; None: the 21 classes of PASCAL VOC. Blocks need it."""
    split: str = "train"
    image_name: str = "{}.jpg"
    """File of an image from its name in the list."""
    label_name: str | None = None
    """The same of its labels; None: ``{}.xml`` or ``{}.png``."""
    outside: Outside = "refuse"
    """What to do with points outside their image."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together. Raises UsageError."""
        if self.form == "blocks" and self.classes is None:
            raise UsageError(
                "blocks do not say what their bytes mean.", obj="--classes", hint="Name a classes.json."
            )
        if self.form != "points" and len(self.labels) != 1:
            raise UsageError(
                f"{self.form} lie in one folder, got {len(self.labels)}.",
                obj="--labels",
                hint="Name it once.",
            )
        if self.form == "points" and self.label_name is not None:
            raise UsageError(
                "points of all images are in one file.", obj="--label-name", hint="Leave it out."
            )
        if not self.split:
            raise UsageError("must not be empty.", obj="--split", hint="Say e.g. --split train.")
        for option, template in (("--image-name", self.image_name), ("--label-name", self.label_name)):
            if template is not None and template.count("{}") != 1:
                raise UsageError(
                    f"must hold one {{}} for the name of an image, got {template!r}.",
                    obj=option,
                    hint="Say e.g. '{}.png'.",
                )


def import_weak(wanted: WeakImport, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Read the labels of every image of a list and commit them as label maps.

    Args:
        wanted: What to read.
        say: Told how far it is.

    Returns:
        What ``weak_labels.json`` says, with the sha256 of the directory's manifest.

    Raises:
        UsageError: If a folder is none, or the target holds something else.
        DataError: With file, place and cause, if an image has no labels, or a file is missing, damaged, of
            another size, or holds a class or place that there is not. Nothing is written.
        UnavailableError: If a file cannot be read or written, e.g. because the disk is full.
    """
    _check_places(wanted)
    source = _Source(wanted, VOC if wanted.classes is None else read_classes(wanted.classes))
    names = read_listing(wanted.listing)
    check_images([wanted.image_name.replace("{}", name) for name in names], wanted.listing)
    source.check(names)
    importer = _Importer(wanted, source, names, say)
    with telling_of_disks(wanted.out):
        manifest = commit_directory(
            wanted.out, importer.write, schema=IMPORTED_SCHEMA, provenance=importer.about
        )
    return importer.document | {"manifest_sha256": manifest.sha256}


def read_listing(path: Path) -> list[str]:
    """Read one image name a line.

    Raises:
        DataError: With the line, if the file is absent or empty, or a line is blank, padded, or a repetition.
    """
    names = read_names(path)
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        where, hint = f"{path} line {number}", "Write one image name a line, without its ending."
        if not name or name != name.strip():
            raise DataError(f"is no name: {name!r}.", obj=where, hint=hint)
        if name in seen:
            raise DataError(f"{name!r} appears a second time.", obj=where, hint=hint)
        seen.add(name)
    return names


class _Source:
    """Where labels are, in one of the three forms."""

    def __init__(self, wanted: WeakImport, classes: SemanticClasses) -> None:
        self.wanted, self.classes = wanted, classes
        self.clicks: Mapping[str, tuple[Click, ...]] = {}
        self.contested = self.outside = 0
        if wanted.form == "points":
            self.clicks = read_clicks(*wanted.labels, num_classes=max(classes.values) + 1)
        self.tags = dict(zip(classes.names, classes.values, strict=True))
        self.tags |= {alias: self.tags[name] for alias, name in VOC_ALIASES.items() if name in self.tags}

    def path(self, name: str) -> Path:
        """Return the file with the labels of an image."""
        template = self.wanted.label_name or _LABEL_NAMES[self.wanted.form]
        return self.wanted.labels[0] / template.replace("{}", name)

    def files(self, names: list[str]) -> list[Path]:
        """Return every file that the labels depend on."""
        paths = self.wanted.labels if self.wanted.form == "points" else map(self.path, names)
        return [self.wanted.listing, *paths]

    def check(self, names: list[str]) -> None:
        """Refuse a list with images that have no labels, before anything is decoded. Raises DataError."""
        if self.wanted.form == "points":
            missing = [name for name in names if name not in self.clicks]
        else:
            missing = [name for name in names if not self.path(name).is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(names)} listed images have no labels: {', '.join(missing[:10])}.",
                obj=str(self.wanted.labels[0]),
                hint="Correct the list, or fetch their labels.",
            )

    def read(self, name: str, height: int, width: int) -> Labels:
        """Read the label map of an image, count what is contested or outside. Raises DataError."""
        wanted, classes = self.wanted, self.classes
        if wanted.form == "blocks":
            values = (*classes.values, *classes.void)
            return read_label_map(self.path(name), values=values, height=height, width=width)
        if wanted.form == "scribbles":
            scribbles = read_scribbles(
                self.path(name), height=height, width=width, values=self.tags, outside=wanted.outside
            )
            self.outside += scribbles.outside
            drawing = scribbles.draw()
        else:
            clicks = self.clicks[name]
            strange = sorted({click.value for click in clicks} - set(classes.values))
            if strange:
                raise DataError(
                    f"image {name!r} has clicks of classes that there are not: {strange[:10]}.",
                    obj=str(wanted.labels[0]),
                    hint="Correct the file, or name the table of its classes with --classes.",
                )
            self.outside += sum(not (0 <= click.x < width and 0 <= click.y < height) for click in clicks)
            drawing = draw_clicks(clicks, height, width, source=f"image {name}", outside=wanted.outside)
        self.contested += drawing.contested
        return drawing.labels


class _Importer:
    """Fills the directory image by image."""

    def __init__(
        self, wanted: WeakImport, source: _Source, names: list[str], say: Callable[[str], None]
    ) -> None:
        self.wanted, self.source, self.names, self.say = wanted, source, names, say
        files = {
            f"{place} {path.name}": (hash_file(path), path.stat().st_size)
            for place, path in enumerate(source.files(names))
        }
        labels = Manifest(schema=f"{IMPORTED_SCHEMA}/source", files=files)
        self.about = {"kind": wanted.form, "split": wanted.split, "source_sha256": labels.sha256}
        self.document: dict[str, Any] = {}

    def write(self, staging: Path) -> None:
        """Fill the staging directory."""
        wanted, source = self.wanted, self.source
        writer = LabelWriter(staging, source.classes, wanted.split)
        for number, name in enumerate(self.names, start=1):
            image = wanted.image_name.replace("{}", name)
            pixels = read_rgb(wanted.images / image)
            labels = source.read(name, *pixels.shape[:2])
            writer.add(image, sha256=hash_file(wanted.images / image), pixels=pixels, labels=labels)
            if number % 50 == 0 or number == len(self.names):
                self.say(f"importing {number}/{len(self.names)}, {wanted.form}")
        written = writer.finish()
        if not written["counts"]["labelled"]:
            raise DataError(
                "no pixel of any image has a label.",
                obj=str(wanted.labels[0]),
                hint="Check that list and labels belong together.",
            )
        more = {"contested": source.contested, "outside": source.outside}
        self.document = {"schema": IMPORTED_SCHEMA, **self.about, **written, **more}
        write_json(staging / SUMMARY, self.document)
        folders = {path if path.is_dir() else path.parent for path in wanted.labels}
        for paper in (path for folder in sorted(folders) for path in sorted(folder.iterdir())):
            if paper.name.lower().startswith(_PAPERS) and paper.is_file() and not paper.is_symlink():
                (staging / paper.name).write_bytes(paper.read_bytes())


def _check_places(wanted: WeakImport) -> None:
    check_target(wanted.out, schema=IMPORTED_SCHEMA)
    folders = [wanted.images] if wanted.form == "points" else [wanted.images, wanted.labels[0]]
    for folder in folders:
        if not folder.is_dir():
            raise UsageError("is not a directory.", obj=str(folder), hint="Name the folder of the files.")
