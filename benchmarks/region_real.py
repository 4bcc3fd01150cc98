"""Real photographs, from file to metric to page: can a model learn 32 of them by heart?

    python -m benchmarks.region_real --data FOLDER

``FOLDER`` holds ``coco_open`` and ``refcocos_open``: openly licensed COCO images with objects, and with human
referring expressions. Each run goes the whole way by the operations of the commands: ``data import-regions``,
``tune``, ``answer``, ``score regions``, page. Two lessons: ``expressions`` (a phrase for a region, mostly
boxes, one of each image) and ``categories`` (the names of up to four objects of each image, masks).

Learning by heart proves that image, region and answer are joined and that nothing on the way loses or
confuses them. It proves nothing about new images: the same model's score on held-out ones stands beside, and
is bad, as 32 images and 200,000 weights without any training before cannot but make it. Beside each number
stand the untrained model and the trained one asked about regions that lie elsewhere.

Runs that are done are kept in the file; ``--again`` makes them anew. One thread, a few minutes a run.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe
from benchmarks.region_real_data import Lesson, RealData, prepare
from tasks.data.region_batches import draw_samples
from tasks.data.region_mix import open_mix, read_mix
from tasks.operations.answering import Answering, answer_questions
from tasks.operations.region_files import read_region_recipe
from tasks.operations.region_model_files import load_region_model, save_region_model
from tasks.operations.region_start import begin_model
from tasks.operations.score_records import ScoreRequest
from tasks.operations.scoring import PAGE, score_files
from tasks.operations.tune_request import TuneRequest
from tasks.operations.tuning import tune

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "region_real.json"
RUNS: tuple[tuple[str, Lesson, int], ...] = (
    ("osprey_tiny", "expressions", 0),
    ("osprey_tiny", "categories", 0),
    ("tokenpacker_osprey_hd_tiny", "expressions", 0),
    ("osprey_tiny", "expressions", 1),
    ("osprey_tiny", "categories", 1),
    ("osprey_tiny", "expressions", 2),
    ("osprey_tiny", "categories", 2),
)
STAGES = {"osprey_tiny": "instruct", "tokenpacker_osprey_hd_tiny": "regions"}
"""The third of each recipe: projector, regions and language model learn; the encoder stays random."""
BATCH, EPOCHS, RATE = 16, 160, 3e-3
STEPS = {"expressions": 180, "categories": 480}
"""The cosine, of 160 epochs, is cut off there: learning by heart ends when it is done."""
SCALE = "language.initializer_range=0.02"
"""Of fresh weights, as in the stored runs; the recipes have 1 / sqrt(width) since."""
CHANGES = (
    SCALE,
    f"stages.2.global_batch={BATCH}",
    f"stages.2.epochs={EPOCHS}",
    *(f"stages.2.train.{place}.learning_rate={RATE}" for place in range(3)),
    "training.bfloat16=false",
    "training.gradient_checkpointing=false",
    "training.log_every=5",
)
LONGEST = 40
"""Tokens of an answer."""
GOAL = 0.05
"""Nats a token."""


def main() -> None:
    """Make the runs that are not there, store the numbers, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of coco_open and refcocos_open")
    parser.add_argument("--runs", type=int, default=len(RUNS), help="how many of the runs, from the first")
    parser.add_argument("--again", action="store_true", help="make anew what the file has already")
    parser.add_argument("--pages", type=Path, help="folder for the pages of the trained models")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    document: dict[str, Any] = {"runs": {}}
    if arguments.out.exists() and not arguments.again:
        document = json.loads(arguments.out.read_text(encoding="utf-8"))
    document |= {
        "machine": describe(),
        "settings": {
            "batch": BATCH,
            "steps": STEPS,
            "epochs_of_schedule": EPOCHS,
            "rate": RATE,
            "longest": LONGEST,
            "goal": GOAL,
        },
    }
    for system, lesson, seed in RUNS[: arguments.runs]:
        name = f"{system} {lesson} {seed}"
        if name in document["runs"]:
            continue
        with tempfile.TemporaryDirectory() as work:
            data = prepare(lesson, arguments.data.resolve(), Path(work))
            pages = None if arguments.pages is None else arguments.pages / name.replace(" ", "-")
            document["runs"][name] = run(system, data, seed, STEPS[lesson], pages)
        arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(table({"runs": {name: document["runs"][name]}}), flush=True)
    print(table(document))


def run(system: str, data: RealData, seed: int, steps: int, pages: Path | None) -> dict[str, Any]:
    """Train one model, and ask it and the untrained one."""
    work = data.train.parent
    request = TuneRequest(
        recipe=system,
        stage=STAGES[system],
        data=data.train,
        images=data.images["train"],
        out=work / "trained",
        random=True,
        steps=steps,
        changes=(*CHANGES, f"training.seed={seed}"),
    )
    recipe = read_region_recipe(system, [SCALE], ROOT)
    samples = open_mix(read_mix(data.train, data.images["train"]), seed=seed).samples
    start = begin_model(request, recipe, samples, seed=seed)
    save_region_model(work / "untrained", start.model, start.processor, provenance={})
    began = time.perf_counter()
    trained = tune(request, ROOT, say=lambda text: print(text, flush=True))
    seconds = time.perf_counter() - began
    if trained is None:
        raise RuntimeError("the benchmark runs in one process.")
    history = [json.loads(line) for line in (work / "trained" / "history.jsonl").open(encoding="utf-8")]
    curve = [[line["step"], round(line["loss"], 4)] for line in history]
    asked = {
        "trained": ("trained", data.train, "train"),
        "untrained": ("untrained", data.train, "train"),
        "shuffled regions": ("trained", data.shuffled, "train"),
        "held out": ("trained", data.val, "val"),
        "held out, untrained": ("untrained", data.val, "val"),
    }
    scores = {}
    for name, (model, directory, split) in asked.items():
        wanted = Answering(
            model=work / model,
            data=directory,
            images=data.images[split],
            out=work / f"answers {name}",
            max_new_tokens=LONGEST,
            at_once=32,
        )
        answer_questions(wanted)
        scores[name] = _scores(directory, wanted.out, None)
    if pages is not None:
        _scores(data.train, work / "answers trained", pages, data.images["train"])
    return {
        "counts": data.counts,
        "parameters": sum(weight.numel() for weight in start.model.parameters()),
        "steps": trained["steps"],
        "seconds": round(seconds, 1),
        "first_step_below_goal": next((step for step, loss in curve if loss < GOAL), None),
        "loss": {name: round(_loss(work / name, data), 4) for name in ("trained", "untrained")},
        "curve": curve,
        "scores": scores,
    }


def _scores(truth: Path, answers: Path, out: Path | None, images: Path | None = None) -> dict[str, Any]:
    """Score, keep every metric with its interval, and write the page if there is a place for it."""
    request = ScoreRequest(kind="regions", truth=truth, predictions=answers)
    result = score_files(replace(request, images=images), out)
    if out is not None:
        print(f"page: {out / PAGE}", flush=True)
    return {
        metric["name"]: {
            "value": round(metric["value"], 4),
            "count": metric["count"],
            **{end: round(result["intervals"][metric["name"]][end], 4) for end in ("low", "high")},
        }
        for metric in result["metrics"]
    }


@torch.no_grad()
def _loss(model: Path, data: RealData) -> float:
    """Return the mean over all learned tokens of the trained images, in nats, as the model answers."""
    loaded = load_region_model(model)
    samples = open_mix(read_mix(data.train, data.images["train"]), seed=0).samples
    total, count = 0.0, 0
    for start in range(0, len(samples), BATCH):
        batch = draw_samples(samples[start : start + BATCH], loaded.processor, 512)
        output = loaded.model(batch.to(loaded.model.device), logits="labels")
        if output.loss is not None:
            total += float(output.loss) * output.num_labels
            count += output.num_labels
    return total / count


def table(document: dict[str, Any]) -> str:
    """Lay the numbers out, one line a run."""
    asked = ("trained", "shuffled regions", "untrained", "held out", "held out, untrained")
    lines = ["run | loss (untrained) | step below 0.05 | seconds | exact: " + " | ".join(asked)]
    for name, run_ in document["runs"].items():
        exact = (f"{run_['scores'][who]['answers.exact_match']['value']:.3f}" for who in asked)
        loss = f"{run_['loss']['trained']:.4f} ({run_['loss']['untrained']:.2f})"
        lines.append(
            f"{name} | {loss} | {run_['first_step_below_goal']} of {run_['steps']} | {run_['seconds']:.0f} | "
            + " | ".join(exact)
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
