"""``groundwork segment``: a model names the class of every pixel of a folder of images.

The directory that appears has the form of weak labels: ``groundwork score semantic`` compares its label maps
with true ones, and another training can learn from them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from models.segmentation.semantic_hub import SemanticSegmenter
from tasks.data.commit import Manifest, commit_directory, hash_file, telling_of_disks, verify_directory
from tasks.data.images import SUFFIXES, Rgb, read_rgb
from tasks.data.label_maps import Labels
from tasks.data.semantic_records import SemanticClasses
from tasks.data.target_directory import check_target
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.operations.fit_request import SEMANTIC_SCHEMA
from tasks.operations.label_writing import LabelWriter, check_images, write_json

SEGMENTED_SCHEMA = "groundwork.segmented/1"
SUMMARY = "segmented.json"
_SUFFIXES = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmenting:
    """What to segment with what."""

    model: Path
    """Directory that ``groundwork fit`` made from a semantic recipe."""
    images: Path
    """Folder of images and of nothing else, however deep."""
    out: Path
    """Directory to create, or one of this kind to replace."""
    split: str = "train"
    """Name of the split in the records."""


def segment_folder(wanted: Segmenting, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Write a label map for every image of a folder.

    Args:
        wanted: What to segment.
        say: Told how far it is.

    Returns:
        What ``segmented.json`` says, with the sha256 of the directory's manifest.

    Raises:
        UsageError: If the folder is none, or the target holds something else.
        DataError: If a file is no image, or the model cannot be built.
        IntegrityError: If the model is damaged or of another kind.
        UnavailableError: If a file cannot be written, e.g. because the disk is full.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    names = _images(wanted.images)
    check_target(wanted.out, schema=SEGMENTED_SCHEMA)
    manifest, model = load_semantic(wanted.model)
    hashes = {name: hash_file(wanted.images / name) for name in names}
    sizes = {name: (wanted.images / name).stat().st_size for name in names}
    source = Manifest(
        schema=f"{SEGMENTED_SCHEMA}/source", files={name: (hashes[name], sizes[name]) for name in names}
    )
    about = {"model_sha256": manifest.sha256, "images_sha256": source.sha256, "split": wanted.split}
    classes = SemanticClasses(names=model.class_names, values=model.class_values)
    found: dict[str, Any] = {}

    def write(staging: Path) -> None:
        writer = LabelWriter(staging, classes, wanted.split)
        for number, name in enumerate(names, start=1):
            pixels = read_rgb(wanted.images / name)
            writer.add(name, sha256=hashes[name], pixels=pixels, labels=_labels(model, pixels))
            if number % 20 == 0 or number == len(names):
                say(f"segmenting {number}/{len(names)}, {name}")
        found.update({"schema": SEGMENTED_SCHEMA, **about, **writer.finish()})
        write_json(staging / SUMMARY, found)

    with telling_of_disks(wanted.out):
        committed = commit_directory(wanted.out, write, schema=SEGMENTED_SCHEMA, provenance=about)
    return found | {"manifest_sha256": committed.sha256}


def load_semantic(folder: Path) -> tuple[Manifest, SemanticSegmenter]:
    """Load a model on the best device there is, after checking every byte of it.

    Raises:
        IntegrityError: If it is damaged or of another kind.
        DataError: If its configuration or weights do not fit together.
    """
    try:
        manifest = verify_directory(folder, schema=SEMANTIC_SCHEMA)
    except IntegrityError as error:
        raise IntegrityError(
            error.message,
            obj=error.obj,
            hint="Name a model that `groundwork fit` made from a semantic recipe.",
        ) from error
    try:
        model = SemanticSegmenter.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise DataError(
            f"cannot be built: {error}", obj=str(folder), hint="Train it again with `groundwork fit`."
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return manifest, model.to(device)  # type: ignore[arg-type]  # transformers wraps it without its self


def _labels(model: SemanticSegmenter, pixels: Rgb) -> Labels:
    places = model.predict([pixels])[0].cpu().numpy()
    labels: Labels = np.array(model.class_values, dtype=np.uint8)[places]
    return labels


def _images(folder: Path) -> list[str]:
    """List the images of a folder; anything else in it is refused rather than passed over."""
    if not folder.is_dir():
        raise UsageError("is not a directory.", obj=str(folder), hint="Name a folder of images.")
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    names = [path.relative_to(folder).as_posix() for path in files]
    other = [name for name in names if Path(name).suffix.lower() not in _SUFFIXES]
    if other or not names:
        raise DataError(
            f"holds {len(other)} files that are no images: {', '.join(map(ascii, other[:10]))}."
            if other
            else "holds no image.",
            obj=str(folder),
            hint="Name a folder that holds images alone.",
        )
    check_images(names, folder)
    return names
