"""One scorer on one scene, in a process of its own, so that its peak of memory is its own.

    python -m benchmarks.evaluation_runs pycocotools box <folder with truth, box, mask and both.json>

Reading JSON is timed by itself. The clock of the evaluation starts with the input in memory in the form that
the scorer takes: dictionaries for pycocotools and faster-coco-eval, its own tables for hotcoco, the arrays of
each image for Groundwork, whose checks are inside. It stops with the twelve numbers of COCO in hand; for
Groundwork with all its metrics, both tables and the curves.
"""

import contextlib
import gc
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Imported at runtime, they would count as memory of every scorer.
    from benchmarks.evaluation_inputs import Records
    from evaluation.definition import Kind
    from evaluation.detection import DetectionEvaluation

ROOT = Path(__file__).resolve().parents[1]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
IOU_TYPE = {"box": "bbox", "mask": "segm"}
QUANTITIES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
              "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")  # fmt: skip
"""The twelve numbers of COCO, in its order."""


def measure(method: str, kind: str, folder: Path) -> dict[str, Any]:
    """Run a scorer in a fresh process.

    Returns:
        ``read_s``, ``evaluate_s``, ``peak_mb`` of the process since the input was in memory,
        ``above_input_mb``, and ``numbers``; both sizes are None where the system is not Linux.
    """
    command = [sys.executable, "-m", "benchmarks.evaluation_runs", method, kind, str(folder)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Measure in this process and print JSON."""
    method, kind, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    prepare = METHODS[method]
    started = time.perf_counter()
    evaluate = prepare(kind, folder)
    read_s = time.perf_counter() - started
    gc.collect()
    before = _megabytes("VmRSS")
    if CLEAR.exists():
        CLEAR.write_text("5", encoding="ascii")
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        tell = evaluate()
    evaluate_s = time.perf_counter() - started
    peak = _megabytes("VmHWM")
    numbers, parts = tell()
    answer = {
        "read_s": round(read_s, 3),
        "evaluate_s": round(evaluate_s, 3),
        "peak_mb": peak,
        "above_input_mb": None if peak is None or before is None else peak - before,
        "numbers": numbers,
    }
    print(json.dumps(answer | parts))


Tell = Callable[[], tuple[dict[str, float], dict[str, Any]]]
"""Return the twelve numbers by name, and what else there is to say; off the clock."""
Evaluate = Callable[[], Tell]


def _pycocotools(kind: str, folder: Path) -> Evaluate:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return _of_coco(COCO, COCOeval, kind, folder)


def _faster_coco_eval(kind: str, folder: Path) -> Evaluate:
    from faster_coco_eval import COCO, COCOeval_faster

    return _of_coco(COCO, COCOeval_faster, kind, folder)


def _of_coco(coco: Callable[..., Any], coco_eval: Callable[..., Any], kind: str, folder: Path) -> Evaluate:
    document, results = _json(folder, "truth"), _json(folder, kind)

    def evaluate() -> Tell:
        truth = coco()
        truth.dataset = document
        truth.createIndex()
        evaluation = coco_eval(truth, truth.loadRes(results), IOU_TYPE[kind])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return lambda: (dict(zip(QUANTITIES, map(float, evaluation.stats), strict=True)), {})

    return evaluate


def _hotcoco(kind: str, folder: Path) -> Evaluate:
    import hotcoco

    truth = hotcoco.COCO(str(folder / "truth.json"))
    found = truth.load_res(str(folder / f"{kind}.json"))

    def evaluate() -> Tell:
        evaluation = hotcoco.COCOeval(truth, found, IOU_TYPE[kind])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return lambda: (dict(zip(QUANTITIES, map(float, evaluation.stats), strict=True)), {})

    return evaluate


def _groundwork(kind: str, folder: Path) -> Evaluate:
    from benchmarks.evaluation_inputs import CATEGORIES, QUICK_SIZE, columns, documents, records
    from evaluation.definition import KINDS
    from evaluation.detection import DetectionEvaluation
    from evaluation.detection import evaluate as score

    kinds = KINDS if kind == "both" else tuple(name for name in KINDS if name == kind)

    def run(truth: list[dict[str, Any]], found: list[dict[str, Any]]) -> DetectionEvaluation:
        truths, detections = records(truth, found)
        return score(truths, detections, categories=CATEGORIES, kinds=kinds)

    small, few = documents(QUICK_SIZE)
    started = time.perf_counter()
    run(*(columns(items, num_images=QUICK_SIZE.images) for items in (small["annotations"], few)))
    first_s = time.perf_counter() - started
    document = _json(folder, "truth")
    # Records of a model with masks hold its boxes too.
    results = _json(folder, "box" if kind == "box" else "both")
    count = len(document["images"])
    truth, found = columns(document["annotations"], num_images=count), columns(results, num_images=count)
    del document, results, small, few

    def evaluate() -> Tell:
        result = run(truth, found)

        def tell() -> tuple[dict[str, float], dict[str, Any]]:
            tables = result.tables
            rows = {"rows_per_image": len(tables.per_image), "rows_matches": len(tables.matches)}
            return _ours(result, records(truth, found), kinds[-1]), rows | {"first_call_s": round(first_s, 3)}

        return tell

    return evaluate


def _ours(result: "DetectionEvaluation", pair: "Records", kind: "Kind") -> dict[str, float]:
    """Read the twelve numbers; recall by size is no metric of ours and comes from the scorer's arrays."""
    from benchmarks.evaluation_inputs import CATEGORIES
    from evaluation.definition import AREAS, CAPS
    from evaluation.scorer import score

    value = {metric.name: metric.value for metric in result.metrics}
    numbers = {name: value.get(f"{kind}.{name}", -1.0) for name in QUANTITIES}
    arrays = score(*pair, categories=CATEGORIES, kind=kind)
    for place, size in enumerate(AREAS):
        if size != "all":
            recall = arrays.recall[:, arrays.has_regions[:, place], place, CAPS.index(100)]
            numbers[f"ar_{size}"] = float(recall.mean()) if recall.size else -1.0
    return numbers


def _json(folder: Path, name: str) -> Any:  # noqa: ANN401  whatever JSON holds
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def _megabytes(field: str) -> int | None:
    if not STATUS.exists():
        return None
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) // 1024


METHODS: dict[str, Callable[[str, Path], Evaluate]] = {
    "groundwork": _groundwork,
    "hotcoco": _hotcoco,
    "faster-coco-eval": _faster_coco_eval,
    "pycocotools": _pycocotools,
}

if __name__ == "__main__":
    main()
