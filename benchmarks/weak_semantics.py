"""Does propagation pay for scribbles? DeepLabV3+ with it, without it, with tree energy, and with full masks.

``run_semantics`` trains every method on every problem with every seed. The scribbles are those of
``groundwork data weaken --kind scribbles``: one on every object of at least 64 pixels and one on the
background, drawn anew for each seed. The problems are those of ``benchmarks.weak_pictures``; the settings
were chosen on other worlds and on images held out of train, with other seeds (``TUNING``), before val was
looked at.

* ``mean_iou``: that of ``evaluation.semantic``, pixels summed over all asked pictures.

Values are means over seeds; the bootstrap of the intervals draws pictures and seeds anew, the same for all
methods.

Shape suffixes:
    S = seeds   I = asked pictures   K = classes   P = K and "none"   B = resamples
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache as remembered
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.weak_instances import ALPHA, RESAMPLES, draw_units
from benchmarks.weak_pictures import SemanticProblem, draw_targets, nuclei_problem, world_problem
from benchmarks.weak_semantic_training import (
    FULL,
    METHODS,
    OURS,
    PARTIAL,
    TREE,
    Learning,
    Lesson,
    Propagation,
    count,
    train,
)
from evaluation.semantic import class_iou
from tasks.data.weak_labels import FullPolicy, WeakCounts
from tasks.data.weak_scribbles import ScribblePolicy

LEARNING = {
    "nuclei": Learning(
        steps=200,
        crop=128,
        smallest_scale=0.75,
        largest_scale=1.5,
        sigma=0.002,
        propagation=Propagation(
            zeta_image=0.01,
            zeta_label=0.05,
            kernel_size=5,
            zeta_local=0.1,
            iterations=30,
            global_weight=0.4,
            local_weight=0.4,
        ),
    ),
    "world": Learning(
        steps=300,
        crop=96,
        smallest_scale=0.8,
        largest_scale=1.25,
        sigma=0.02,
        propagation=Propagation(
            zeta_image=0.03,
            zeta_label=0.05,
            kernel_size=5,
            zeta_local=0.1,
            iterations=30,
            global_weight=0.4,
            local_weight=0.4,
            prediction_trust=0.1,
        ),
    ),
}
TUNING = {
    "seeds": [10, 11],
    "world_seeds": [20, 21, 22, 23],
    "nuclei": "every fourth image of train, the others learnt from",
    "tried": {
        "nuclei, seed 10, 240 steps, both weights 0.4": {PARTIAL: 0.7972, OURS: 0.8302},
        "nuclei, seed 10, 240 steps, both weights 1": {PARTIAL: 0.7972, OURS: 0.8195},
        "nuclei, seed 11, as reported": {PARTIAL: 0.8075, OURS: 0.8444},
        "world, seed 11, three classes, 400 steps of scenes of 64 pixels": {PARTIAL: 0.4913, OURS: 0.5119},
        "world, seed 11, prediction_trust 1": {PARTIAL: 0.8604, OURS: 0.8802},
        "world, seed 11, prediction_trust 0.1, as reported": {PARTIAL: 0.8604, OURS: 0.8987},
    },
}
"""What the settings were chosen on, and mean IoU there."""
COMPARED = ((OURS, PARTIAL), (TREE, PARTIAL), (OURS, TREE), (FULL, OURS))
WANTED = 0.03
"""By which propagation should beat partial cross-entropy."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class SemanticRun(NamedTuple):
    """One training."""

    problem: str
    method: str
    seed: int


def run_semantics(
    *,
    cache: Path,
    seeds: Sequence[int],
    jobs: int,
    say: Callable[[str], None],
    methods: Sequence[str] = METHODS,
) -> dict[str, Any]:
    """Train what the cache does not hold, and put all of it in one document.

    Args:
        cache: Directory of finished trainings; one is used again while its settings and data are the same.
        seeds: Of the trainings.
        jobs: Processes, each with one thread.
        say: Told each finished training.
        methods: Some of ``METHODS``, partial cross-entropy and propagation among them.
    """
    runs = [
        SemanticRun(problem, method, seed) for seed in seeds for problem in LEARNING for method in methods
    ]
    cache.mkdir(parents=True, exist_ok=True)
    done: dict[SemanticRun, dict[str, Any]] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(finished, run, cache): run for run in runs}
        for future in as_completed(waiting):
            run, done[waiting[future]] = waiting[future], future.result()
            iou_K = class_iou(np.array(done[run]["pixels"]).sum(axis=0))
            say(f"{' '.join(map(str, run))}: mean IoU {iou_K.mean():.3f}")
    return {
        "tuning": TUNING,
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "wanted": WANTED,
        "problems": {
            name: document_of(make_problem(name), {run: done[run] for run in runs if run.problem == name})
            for name in LEARNING
        },
    }


@remembered
def make_problem(name: str) -> SemanticProblem:
    """Make the problem that is reported, not the one that settings were chosen on."""
    return world_problem() if name == "world" else nuclei_problem()


@remembered
def make_targets(name: str, seed: int, *, full: bool) -> tuple[tuple[Tensor, ...], WeakCounts]:
    """Draw the labels of a seed once for all methods that learn from them."""
    return draw_targets(make_problem(name), FullPolicy() if full else ScribblePolicy(), seed=seed)


def finished(run: SemanticRun, cache: Path) -> dict[str, Any]:
    """Return a finished training: from the cache, or trained and put there."""
    torch.set_num_threads(1)
    problem, learning = make_problem(run.problem), LEARNING[run.problem]
    wanted = _asked_of(run.method, learning)
    key = json.dumps([run, wanted, problem.digest()], sort_keys=True)
    name = f"semantics-{'-'.join(map(str, run)).replace(' ', '_')}"
    path = cache / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    targets, counts = make_targets(run.problem, run.seed, full=run.method == FULL)
    lesson = Lesson(problem=problem, learning=learning, method=run.method, seed=run.seed, targets=targets)
    wall, processor = time.monotonic(), time.process_time()
    model = train(lesson)
    cost = {
        "wall_seconds": round(time.monotonic() - wall, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
    }
    document = {
        "run": run._asdict(),
        "training": cost,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "labelled": counts.to_json(),
        "pixels": count(model, problem).tolist(),
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document) + "\n", encoding="utf-8")
    part.rename(path)
    return document


def _asked_of(method: str, learning: Learning) -> dict[str, Any]:
    """Return the numbers that a method reads."""
    numbers = asdict(learning)
    others = {"propagation": OURS, "sigma": TREE, "tree_weight": TREE}
    return {name: value for name, value in numbers.items() if others.get(name, method) == method}


def document_of(problem: SemanticProblem, done: Mapping[SemanticRun, dict[str, Any]]) -> dict[str, Any]:
    """Put the trainings of one problem together."""
    seeds = sorted({run.seed for run in done})
    methods = [method for method in METHODS if SemanticRun(problem.name, method, seeds[0]) in done]
    tables = {
        method: np.array([done[SemanticRun(problem.name, method, seed)]["pixels"] for seed in seeds])
        for method in methods
    }
    labelled = [done[SemanticRun(problem.name, PARTIAL, seed)]["labelled"] for seed in seeds]
    return {
        "classes": list(problem.classes),
        "images": {"train": len(problem.train), "asked": len(problem.asked)},
        "seeds": seeds,
        "labelled_share": [counts["share"] for counts in labelled],
        "settings": asdict(LEARNING[problem.name]),
        "weights": next(iter(done.values()))["weights"],
        "training": {
            method: [done[SemanticRun(problem.name, method, seed)]["training"] for seed in seeds]
            for method in methods
        },
        **compare(tables),
    }


def measure(table_SIKP: Counts, weight_BI: Floats) -> Floats:
    """Return the mean IoU under weights of the pictures, shape (B, S)."""
    total_SBKP = np.einsum("bi,sikp->sbkp", weight_BI, table_SIKP)
    return np.array([[class_iou(table_KP).mean() for table_KP in table_BKP] for table_BKP in total_SBKP]).T


def compare(tables: Mapping[str, Counts]) -> dict[str, Any]:
    """Compare the methods: by seed, on the mean over seeds, and paired."""
    seeds, pictures = tables[PARTIAL].shape[:2]
    weight_BI, weight_BS = draw_units(pictures, seeds)
    alone_S = {method: measure(table, np.ones((1, pictures)))[0] for method, table in tables.items()}
    drawn_BS = {method: measure(table, weight_BI) for method, table in tables.items()}

    def triple(value_S: Floats, value_BS: Floats) -> list[float]:
        low, high = np.quantile((value_BS * weight_BS).sum(axis=1) / seeds, [ALPHA / 2, 1 - ALPHA / 2])
        return [round(float(number), 4) for number in (value_S.mean(), low, high)]

    gain = float((alone_S[OURS] - alone_S[PARTIAL]).mean())
    return {
        "mean_iou": {
            **{method: triple(alone_S[method], drawn_BS[method]) for method in tables},
            "by_seed": {method: [round(float(value), 4) for value in alone_S[method]] for method in tables},
        },
        "class_iou": {
            method: [
                [round(float(value), 4) for value in class_iou(table_IKP.sum(axis=0))]
                for table_IKP in table_SIKP
            ]
            for method, table_SIKP in tables.items()
        },
        "differences": {
            f"{first} minus {second}": {
                "mean_iou": triple(alone_S[first] - alone_S[second], drawn_BS[first] - drawn_BS[second]),
                "by_seed": [round(float(value), 4) for value in alone_S[first] - alone_S[second]],
            }
            for first, second in COMPARED
            if first in tables and second in tables
        },
        "holds": gain >= WANTED,
    }
