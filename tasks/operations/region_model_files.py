"""Committed models that see regions, and what is needed to ask them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from models.region_lm.hub import RegionMLLM
from models.region_lm.processing import RegionProcessor
from tasks.data.commit import commit_directory, verify_directory
from tasks.errors import DataError, IntegrityError
from tasks.operations.converting import REGION_MODEL_SCHEMA

_HINT = "Name a directory that `groundwork convert` or `groundwork tune` made."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedRegionModel:
    """A model with its processor."""

    sha256: str
    """Of the manifest of its directory."""
    model: RegionMLLM
    """As it answers, on the best device there is."""
    processor: RegionProcessor


def check_region_model(folder: Path) -> str:
    """Check every byte of a model; returns the sha256 of its manifest.

    Raises:
        IntegrityError: If it is damaged, empty, or of another kind.
    """
    try:
        return verify_directory(folder, schema=REGION_MODEL_SCHEMA).sha256
    except IntegrityError as error:
        raise IntegrityError(error.message, obj=error.obj, hint=_HINT) from error


def read_region_processor(folder: Path) -> RegionProcessor:
    """Read what makes batches for a model; costs little.

    Raises:
        DataError: If it is not there, or its settings and its tokenizer do not fit together.
    """
    try:
        return RegionProcessor.from_pretrained(folder)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"has no processor: {error}", obj=str(folder), hint=_HINT) from error


def load_region_model(folder: Path) -> LoadedRegionModel:
    """Load a model after checking every byte of it.

    Raises:
        IntegrityError: If it is damaged, empty, or of another kind.
        DataError: If its parts do not fit together.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    sha256 = check_region_model(folder)
    processor = read_region_processor(folder)
    try:
        model = RegionMLLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise DataError(f"cannot be built: {error}", obj=str(folder), hint=_HINT) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)  # type: ignore[arg-type]  # transformers wraps it without its self
    return LoadedRegionModel(sha256=sha256, model=model.eval(), processor=processor)


def region_model_writer(model: RegionMLLM, processor: RegionProcessor) -> Callable[[Path], None]:
    """Return what fills the directory of a model."""

    def write(staging: Path) -> None:
        model.save_pretrained(staging)
        processor.save_pretrained(staging)

    return write


def save_region_model(
    folder: Path, model: RegionMLLM, processor: RegionProcessor, *, provenance: dict[str, object]
) -> str:
    """Commit a model; returns the sha256 of its manifest."""
    write = region_model_writer(model, processor)
    return commit_directory(folder, write, schema=REGION_MODEL_SCHEMA, provenance=provenance).sha256
