"""Prepared shapes world and the command line of the training stage, for tests that start and kill it."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tasks.data.commit import commit_file
from tasks.data.importing import import_coco
from tasks.stages.prepare_coco import run as prepare_coco
from tests.models.segmentation.tiny import training
from tests.tiny.shapes import write_shapes_world

ROOT = Path(__file__).resolve().parents[3]


def prepare(folder, world=None):
    """Import and prepare a dataset; return the arguments that the training stage reads from."""
    source = world or write_shapes_world(folder / "world", num_train=4, num_val=2)
    manifest = import_coco(source, folder / "dataset")
    report = {"schema": "groundwork.validation/1", "dataset_sha256": manifest.sha256, "passed": True}
    commit_file(folder / "report.json", json.dumps(report).encode())
    prepare_coco(dataset=folder / "dataset", validation=folder / "report.json", out=folder / "prepared")
    return {
        "dataset": folder / "dataset",
        "prepared": folder / "prepared" / "train.jsonl",
        "about": folder / "prepared" / "dataset.json",
    }


def start(inputs, folder, **changes):
    """Start the stage as a process of one thread."""
    folder.mkdir(exist_ok=True)
    params = "".join(f"  {name}: {value}\n" for name, value in asdict(training(**changes)).items())
    (folder / "params.yaml").write_text(f"segmenter:\n{params}")
    paths = {
        **inputs,
        "params": folder / "params.yaml",
        "checkpoints": folder / "checkpoints",
        "out": folder / "out",
    }
    arguments = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.stages.train_segmenter", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
