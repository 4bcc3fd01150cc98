"""How fast is evaluation? COCO's size beside its scorers, the bootstrap of the gate, and referred masks.

    python -m benchmarks.evaluation

5,000 images, 36,000 objects of 80 categories, 100 detections an image, invented but the same for all. Each
scorer runs in a process of its own, by turns, so that ratios mean something on a machine that does other
things too, and its peak of memory is its own; every number is the median of the rounds. What the clock
covers is said in ``evaluation_runs.py``. All scorers must agree on COCO's twelve numbers to 1e-9, or the run
fails. Takes about fifteen minutes on two cores.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.evaluation_inputs import (
    CATEGORIES,
    COCO_SIZE,
    QUICK_SIZE,
    Size,
    as_arrays,
    columns,
    documents,
    expressions,
    records,
    write,
)
from benchmarks.evaluation_runs import METHODS, measure
from benchmarks.machine import describe
from benchmarks.timing import interleave
from evaluation.bootstrap import Interval, difference, draw_weights
from evaluation.ref_masks import evaluate_masks
from evaluation.tables import Tables, build_tables

RESULTS = Path(__file__).resolve().parent / "results"
OURS, REFERENCE = "groundwork", "pycocotools"
TOLERANCE = 1e-9
TARGETS = {"box": 50, "mask": 25}
"""So many times faster than pycocotools, at least."""
METRICS = ("box.ap50", "box.ap", "box.recall50")


def main() -> None:
    """Time, print the table or the document, store the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of every scorer")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, one round; stores nothing by itself"
    )
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    parser.add_argument("--out", type=Path, help="where the numbers go; default: benchmarks/results")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {arguments.rounds}.")
    document = run(quick=arguments.quick, rounds=1 if arguments.quick else arguments.rounds)
    out = arguments.out or (None if arguments.quick else RESULTS / "evaluation.json")
    if out is not None:
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document) if arguments.json else "\n".join(table(document)))
    if not document["agree"]:
        sys.exit(f"the scorers disagree by more than {TOLERANCE:g}.")


def run(*, quick: bool, rounds: int) -> dict[str, Any]:
    """Time everything and return the document that is stored."""
    size = QUICK_SIZE if quick else COCO_SIZE
    packages = ("faster-coco-eval", "hotcoco", "numba", "numpy", "pandas", "pycocotools")
    machine = describe() | {name: version(name) for name in packages}
    settings = {
        "rounds": rounds,
        "quick": quick,
        "images": size.images,
        "objects": size.objects,
        "detections_per_image": size.detections,
        "categories": len(CATEGORIES),
    }
    rows = scorers(size, rounds)
    return {
        "machine": machine,
        "settings": settings,
        "scorers": rows,
        "agree": all(row["largest_difference"] <= TOLERANCE for row in rows),
        "bootstrap": bootstrap(size, resamples=20 if quick else 2000),
        "expressions": referred_masks(20 if quick else 10_000),
    }


def scorers(size: Size, rounds: int) -> list[dict[str, Any]]:
    """Run every scorer on boxes and on masks by turns; ours also on both at once."""
    cases = [(kind, method) for kind in TARGETS for method in METHODS] + [("both", OURS)]
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as name:
        write(size, Path(name))
        for _ in range(rounds):
            for kind, method in cases:
                runs[kind, method].append(measure(method, kind, Path(name)))
                print(kind, method, runs[kind, method][-1]["evaluate_s"], file=sys.stderr)
    return [row_of(kind, method, runs) for kind, method in cases]


def row_of(kind: str, method: str, runs: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    """Sum up the rounds of one scorer, beside pycocotools in the same rounds."""
    own = runs[kind, method]
    reference = runs["mask" if kind == "both" else kind, REFERENCE]
    seconds = [item["evaluate_s"] for item in own]
    pairs = [(item["evaluate_s"], other["evaluate_s"]) for item, other in zip(own, reference, strict=True)]
    names = own[0]["numbers"]
    return {
        "kind": kind,
        "method": method,
        "evaluate_s": round(statistics.median(seconds), 3),
        "rounds_s": seconds,
        "read_s": statistics.median(item["read_s"] for item in own),
        "peak_mb": max((item["peak_mb"] or 0) for item in own) or None,
        "above_input_mb": max((item["above_input_mb"] or 0) for item in own) or None,
        "times_faster": round(statistics.median(other / mine for mine, other in pairs), 1),
        "largest_difference": max(abs(names[name] - reference[0]["numbers"][name]) for name in names),
        "numbers": names,
    } | {name: own[0][name] for name in ("rows_per_image", "rows_matches", "first_call_s") if name in own[0]}


def bootstrap(size: Size, *, resamples: int) -> dict[str, Any]:
    """Time the paired interval of two models by BCa, with and without drawing the resamples."""
    candidate, champion = _tables(size, 1), _tables(size, 0)
    weight_BI = draw_weights(size.images, resamples=resamples, seed=0)

    def compare(metric: str) -> Interval:
        return difference(candidate, champion, metric, weight_BI, alpha=0.05, method="bca")

    methods: dict[str, Callable[[], object]] = {metric: partial(compare, metric) for metric in METRICS}
    methods["draw"] = lambda: draw_weights(size.images, resamples=resamples, seed=0)
    return {"images": size.images, "resamples": resamples, "models": 2} | _timed(methods)


def _timed(methods: dict[str, Callable[[], object]]) -> dict[str, dict[str, float]]:
    """Time by the clock, and once by the processor, which other work on the machine lengthens less."""
    timings, _ = interleave(methods, runs=3)
    processor = {}
    for name, method in methods.items():
        started = time.process_time()
        method()
        processor[name] = round(time.process_time() - started, 3)
    return {
        "seconds": {name: round(timing.median_ms / 1e3, 3) for name, timing in timings.items()},
        "processor_seconds": processor,
    }


def _tables(size: Size, model: int) -> Tables:
    """Evaluate one model's boxes on the same objects."""
    document, results = documents(size, model=model)
    parts = (columns(items, num_images=size.images) for items in (document["annotations"], results))
    return build_tables(*records(*parts), categories=CATEGORIES, kinds=("box",))


def referred_masks(count: int) -> dict[str, Any]:
    """Time the metrics of referring segmentation from run lengths, and a tenth of it from bool arrays."""
    truths, found = expressions(count)
    arrays = as_arrays(truths[: count // 10], {n: found[n] for n in range(count // 10)})
    return {"expressions": {"run lengths": count, "bool arrays": count // 10}} | _timed(
        {"run lengths": lambda: evaluate_masks(truths, found), "bool arrays": lambda: evaluate_masks(*arrays)}
    )


def table(document: dict[str, Any]) -> list[str]:
    """Lay the document out for people."""
    lines = [
        f"{'':6}{'scorer':<18}{'seconds':>9}{'faster':>9}{'peak MB':>9}{'above input':>13}{'differs':>10}"
    ]
    lines += [
        f"{row['kind']:6}{row['method']:<18}{row['evaluate_s']:>9.2f}{row['times_faster']:>8.1f}x"
        f"{row['peak_mb'] or 0:>9}{row['above_input_mb'] or 0:>13}{row['largest_difference']:>10.1e}"
        for row in document["scorers"]
    ]
    lines += _timed_lines(document["bootstrap"], f"bootstrap, {document['bootstrap']['resamples']} resamples")
    lines += _timed_lines(document["expressions"], "referred masks")
    return lines


def _timed_lines(section: dict[str, Any], title: str) -> list[str]:
    return [
        f"{title}, {name}: {seconds:.2f} s, processor {section['processor_seconds'][name]:.2f} s"
        for name, seconds in section["seconds"].items()
    ]


if __name__ == "__main__":
    main()
