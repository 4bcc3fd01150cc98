"""The committed picture of the pipeline is the graph that DVC sees."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_picture_has_not_drifted():
    command = [sys.executable, "-m", "dvc", "dag", "--mermaid"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    drawn = (ROOT / "docs" / "pipeline.md").read_text()
    assert done.stdout.strip() in drawn, "run `make docs`"
