"""Prepared shapes world and the command line of the training stage, for tests that start and kill it."""

import json
import multiprocessing
import os
import runpy
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from tasks.data.commit import commit_file
from tasks.data.importing import import_coco
from tasks.stages.prepare_coco import run as prepare_coco
from tests.models.segmentation.tiny import training
from tests.tiny.shapes import write_shapes_world

ROOT = Path(__file__).resolve().parents[3]
STAGE = "tasks.stages.train_segmenter"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([STAGE, __name__])


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


class Stage:
    """The stage as a process of one thread, forked from one that has imported it and done nothing else."""

    def __init__(self, arguments, log):
        self.log = log
        self.process = FORKS.Process(target=_main, args=(arguments, log))
        self.process.start()

    @property
    def returncode(self):
        """Return the exit code, minus a signal's number where one ended it; None while it runs."""
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def communicate(self, timeout=None):
        """Wait for the end; return what it printed."""
        self.process.join(timeout)
        assert self.returncode is not None, self.log.read_text()
        return self.log.read_text()


def _main(arguments, log):
    with log.open("w") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    os.chdir(ROOT)
    torch.set_num_threads(1)
    sys.argv = ["train_segmenter", *arguments]
    runpy.run_module(STAGE, run_name="__main__")


def start(inputs, folder, **changes):
    """Start the stage."""
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
    return Stage(arguments, folder / f"log-{len(list(folder.glob('log-*')))}")
