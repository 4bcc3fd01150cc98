"""Every committed configuration loads."""

from pathlib import Path

import pytest

from tasks.config import read_yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "configs").rglob("*.yaml"), ROOT / "params.yaml", ROOT / "dvc.yaml"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_is_readable(path):
    assert read_yaml(path)
