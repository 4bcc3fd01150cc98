"""All rules for a COCO dataset, run in order, nothing repaired."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.coco import CocoSplit, read_split
from tasks.data.commit import Manifest
from tasks.data.findings import Finding, Findings
from tasks.data.importing import SPLITS
from tasks.data.leakage import Look, check_looks, check_names
from tasks.data.validators_geometry import check_geometry
from tasks.data.validators_images import check_images
from tasks.data.validators_tables import check_tables

VALIDATION_SCHEMA = "groundwork.validation/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was looked at, and what was found."""

    splits: tuple[CocoSplit, ...]
    counts: dict[str, Any]
    """Split -> number of images, of regions, of crowds, and of regions per category."""
    findings: Findings


def inspect_dataset(dataset: Path, manifest: Manifest) -> Inspection:
    """Run every rule on every row, polygon and pixel.

    Args:
        dataset: Directory that was verified against ``manifest``.
        manifest: Its files and hashes.

    Raises:
        DataError: If an annotation file cannot be read at all.
    """
    splits = tuple(read_split(dataset, name) for name in SPLITS)
    findings, looks = Findings(), dict[str, list[Look]]()
    findings.extend(check_tables(splits))
    for split in splits:
        findings.extend(check_geometry(split))
        seen = list(check_images(dataset, split, manifest))
        findings.extend(item for item in seen if isinstance(item, Finding))
        looks[split.name] = [item for item in seen if isinstance(item, Look)]
    train, val = splits
    findings.extend(check_names(train, val))
    findings.extend(check_looks(looks[train.name], looks[val.name]))
    return Inspection(splits=splits, counts=_count(splits), findings=findings)


def _count(splits: Sequence[CocoSplit]) -> dict[str, Any]:
    """Count what there is; a class without data is shown with 0, not left out."""
    counts = {}
    for split in splits:
        per_category = Counter(repr(row.get("category_id")) for row in split.annotations)
        counts[split.name] = {
            "images": len(split.images),
            "regions": len(split.annotations),
            "crowds": sum(row.get("iscrowd", 0) == 1 for row in split.annotations),
            "regions_per_category": {
                str(row.get("name")): per_category[repr(row.get("id"))] for row in split.categories
            },
        }
    return counts
