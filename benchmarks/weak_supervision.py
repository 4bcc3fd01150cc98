"""What weak labels are worth: instances from boxes, classes from scribbles, and the price of propagation.

    python -m benchmarks.weak_supervision --seeds 0 1 2 --jobs 2 --cache artifacts/weak-supervision
    python -m benchmarks.weak_supervision --only share

``instances`` trains each of the three heads with projection alone and with propagation beside it,
``semantics`` trains DeepLabV3+ on scribbles in several ways, ``share`` times training steps of full size,
``labels`` asks whether the labels of propagation are better than the masks they are made of.
Each finished training is a file in the cache, so a run that was stopped goes on where it was; what is not
asked for with ``--only`` stays in the stored document as it is. Instances and semantics take about an hour on
two quiet cores; ``share`` wants both cores for itself.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.machine import describe
from benchmarks.weak_ceiling import run_ceiling
from benchmarks.weak_instances import make_problem, run_instances
from benchmarks.weak_problems import ROOT
from benchmarks.weak_semantics import run_semantics
from benchmarks.weak_share import run_share

PARTS = ("instances", "semantics", "share", "labels")


def main() -> None:
    """Run what was asked for, and store the numbers with the machine they were made on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, each on one thread")
    parser.add_argument("--steps", type=int, default=9, help="timed steps of each way of 'share'")
    parser.add_argument("--cache", type=Path, default=ROOT / "artifacts" / "weak-supervision")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "weak_supervision.json")
    arguments = parser.parse_args()
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "instances": lambda: run_instances(
            cache=arguments.cache, seeds=arguments.seeds, jobs=arguments.jobs, say=say
        ),
        "semantics": lambda: run_semantics(
            cache=arguments.cache, seeds=arguments.seeds, jobs=arguments.jobs, say=say
        ),
        "share": lambda: run_share(runs=arguments.steps),
        "labels": lambda: look_at_labels(arguments.seeds),
    }
    for part in PARTS:
        if part in arguments.only:
            store(arguments.out, part, ways[part]())


def look_at_labels(seeds: Sequence[int]) -> dict[str, Any]:
    """Train on one thread, on images that go away."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        return run_ceiling(seeds=seeds, folder=Path(folder), make=make_problem, say=say)


def say(sentence: str) -> None:
    """Tell the progress at once."""
    print(sentence, flush=True)


def store(path: Path, part: str, found: dict[str, Any]) -> None:
    """Put a part and the machine it was made on into the document, beside the other parts."""
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    document[part] = {"machine": describe(), **found}
    ordered = {name: document[name] for name in PARTS if name in document}
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
