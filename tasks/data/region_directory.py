"""A directory of region samples: what was imported once, for training, questions and scores.

``samples.jsonl`` holds the samples, ``regions.json`` counts them. Images lie elsewhere: ``file`` of a sample
is relative to a folder that is named where pixels are needed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.data.commit import verify_directory
from tasks.data.region_questions import questions_of
from tasks.data.region_records import RegionSample
from tasks.data.region_sample_files import read_samples
from tasks.errors import IntegrityError

REGION_SAMPLES_SCHEMA: Final = "groundwork.region-samples/1"
SAMPLES: Final = "samples.jsonl"
SUMMARY: Final = "regions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionDirectory:
    """A directory whose every byte was checked."""

    sha256: str
    """Of its manifest."""
    samples: tuple[RegionSample, ...]
    """In the order of the file."""


def read_region_directory(folder: Path) -> RegionDirectory:
    """Read a directory that ``groundwork data import-regions`` made.

    Raises:
        IntegrityError: If it is damaged or holds something else.
        DataError: If a line of its file is malformed.
    """
    try:
        manifest = verify_directory(folder, schema=REGION_SAMPLES_SCHEMA)
    except IntegrityError as error:
        raise IntegrityError(
            error.message,
            obj=error.obj,
            hint="Name a directory that `groundwork data import-regions` made.",
        ) from error
    return RegionDirectory(sha256=manifest.sha256, samples=tuple(read_samples(folder / SAMPLES)))


def count_samples(samples: Sequence[RegionSample]) -> dict[str, Any]:
    """Count what samples hold: images, regions by how their place is known, questions by kind.

    All files start from one folder, so samples of several datasets with one file are about one image.
    """
    regions = [region for sample in samples for region in sample.regions]
    questions = questions_of(samples)
    kinds = Counter(question.kind for question in questions)
    return {
        "samples": len(samples),
        "images": len({sample.file for sample in samples if sample.file is not None}),
        "regions": len(regions),
        "masks": sum(region.mask is not None for region in regions),
        "questions": len(questions),
        "unanswered": sum(question.reference is None for question in questions),
        "kinds": dict(sorted(kinds.items())),
    }
