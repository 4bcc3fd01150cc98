"""Break a tiny data set in one place."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.data.commit import Manifest, describe
from tasks.data.importing import DATASET_SCHEMA


@contextmanager
def edited(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """Hand out the annotation document of a split and write it back."""
    path = folder / "annotations" / f"instances_{split}.json"
    document = json.loads(path.read_bytes())
    yield document
    path.write_text(json.dumps(document))


def manifest_of(folder: Path) -> Manifest:
    """Describe a folder as it is, as if it had been imported."""
    return describe(folder, schema=DATASET_SCHEMA)


def commit_as_it_is(folder: Path) -> Manifest:
    """Make a folder a committed data set without any of the importer's checks."""
    manifest = manifest_of(folder)
    (folder / "manifest.json").write_bytes(manifest.to_json())
    return manifest
