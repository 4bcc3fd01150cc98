"""Does the region-level model learn? Captions, yes and no, compression, masks against boxes; every seed.

    python -m benchmarks.region_mllm --seeds 0 1 2 --jobs 2 --cache artifacts/region-mllm

An encoder is taught to name shapes and a language model to compare captions (``region_mllm_encoder``,
``region_mllm_language``), as published systems start from trained ones; the systems of a seed share both.
Each system then learns from conversations about one world and is asked about another one. Each finished
part is a file in the cache, so a run that was stopped goes on where it was.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe
from benchmarks.region_mllm_runs import Place, Size, finished, teach_part
from benchmarks.region_mllm_scores import ALPHA, RESAMPLES, beside, difference, merge
from benchmarks.region_mllm_systems import ROOT, SYSTEMS
from benchmarks.region_mllm_world import (
    ATTRIBUTE,
    CAPTION,
    COUNT,
    IMAGE_MIXED,
    IMAGE_PART,
    IMAGE_RANDOM,
    REGION_NEAREST,
    REGION_RANDOM,
    TOPICS,
)

KINDS = {
    "regions": {
        "caption": (CAPTION,),
        "exists": (REGION_NEAREST, REGION_RANDOM),
        "exists_nearest": (REGION_NEAREST,),
        "exists_random": (REGION_RANDOM,),
    },
    "images": {
        "exists": (IMAGE_MIXED, IMAGE_RANDOM),
        "exists_mixed": (IMAGE_MIXED,),
        "exists_random": (IMAGE_RANDOM,),
        "exists_part": (IMAGE_PART,),
        "attribute": (ATTRIBUTE,),
        "count": (COUNT,),
        "all": (IMAGE_MIXED, IMAGE_RANDOM, IMAGE_PART, ATTRIBUTE, COUNT),
    },
}
"""Topic -> what is reported -> kinds of questions."""
TUNING: dict[str, Any] = {
    "seed": 100,
    "world_seeds": [900, 901],
    "notes": [
        "encoder, share of held-out regions named right: peak rate 0.006, 300 steps 0.60; 0.01, 300 steps"
        " 0.61, 500 steps 0.93, 1000 steps 0.995; twice the channels cost twice the time and were given "
        "up",
        "a language model with the usual first weights (standard deviation 0.02): captions 0.44 after 750"
        " steps at 0.006 and 0.26 after 375 at 0.002; with 1 / sqrt(width), at 0.003: 0.96 after 200, "
        "0.99 after 750",
        "without reading before, yes and no stayed at 0.50, about regions and about images: 750 steps of "
        "conversations, 400 steps of single questions, Llama and Qwen3, 2 and 3 layers, tied and untied "
        "embeddings, questions about one attribute added; attributes reached 0.67",
        "reading scenes in words, 1500 steps: a pair of a colour and a shape that are both there is told "
        "apart in 0.72 (Qwen3), 0.68 (Llama, 1000 steps), 0.63 (Qwen2, 1500 small steps); comparing a "
        "caption with what was asked for, 1200 steps: 1.00 (Qwen2 and Qwen3)",
        "region, yes and no: after reading scenes, 1200 steps 0.92, 2400 steps 0.90, with a third of the "
        "conversations denying what is alike 1500 steps 0.88; nearly all that was wrong had the right "
        "shape and another colour;"
        " after comparing captions (Qwen3), 400 steps 0.95, 800 steps 0.99, 1200 steps 0.99, captions "
        "0.98",
        "image, yes and no about mixed pairs, average pool, 1200 steps: yes or no alone, after reading "
        "scenes 0.70; what is most alike first, after comparing captions 0.86",
        "image, after reading scenes, plain answers, 3000 steps, TokenPacker, projector 0.005: mixed "
        "pairs 0.88, any 0.94, part 0.91, count 0.81, attribute 0.81; 1200 of these 3000 steps: 0.79, "
        "0.88, 0.87, 0.75, 0.64; average pool at 0.01, 0.81, 0.89, 0.93, 0.80, 0.79; TokenPacker at "
        "0.0012, 0.69, 0.79, 0.90, 0.83, 0.73",
        "levels brought to a standard deviation of 1, TokenPacker, 600 of 3000 steps: mixed pairs 0.54, "
        "without 0.66; given up",
        "without a language model, naming what windows hold after 400 steps: TokenPacker 0.91, average "
        "pool 0.86; TokenPacker's fresh tokens have a root mean square of 0.07, those of the pool 0.43, "
        "words 0.13 before reading",
        "what is most alike first, 1200 steps, mixed pairs, any, part, count, attribute: TokenPacker "
        "0.0025, fresh tokens as drawn 0.69, 0.77, 0.78, 0.55, 0.65, as long as words 0.84, 0.90, 0.89, "
        "0.73, 0.84; average pool 0.01, as drawn 0.86, 0.91, 0.86, 0.70, 0.88, as long as words 0.84, "
        "0.90, 0.87, 0.69, 0.83; MLP 0.01, as drawn, 900 steps 0.88, 0.91, 0.87, 0.68, 0.84; TokenPacker's "
        "two from two language models",
        "the same of TokenPacker from one language model, that of the reported runs, all rates 0.003, 1200 "
        "steps: as drawn 0.65, 0.79, 0.67, 0.63, 0.64, as long as words 0.68, 0.86, 0.80, 0.69, 0.74",
        "overlapping shapes, captions by mask, no comparing of captions before: 500 steps 0.65, 1000 "
        "steps 0.75, 1500 steps 0.77; images of such shapes, all kinds: average pool 0.70 after 1500 "
        "steps, TokenPacker 0.55, fresh tokens as drawn",
        "comparing captions in words, right in texts that were not read, 1200 steps of conversations of six: "
        "seeds 0, 1, 2, 10, 11 0.985, 0.945, 1.00, 0.92, 1.00 (seed 10 at twice the peak rate 0.88, with "
        "half the conversations in twice the steps 0.70); with a third of the captions said again seeds 0, "
        "1, 2, 10, 12, 13 0.96, 0.73, 1.00, 1.00, 1.00, 1.00: what is missed is the colour, of right shapes; "
        "with conversations that grow from one caption to six seed 10 0.95, with both seed 1 1.00; then 1000 "
        "steps",
        "numbers were reported before, on the world of seed 1, with fewer steps, a language model that "
        "had read scenes, and one encoder for all seeds",
        "regions were first asked about on the world of seed 2, after 1200 steps: captions 0.96, 0.92 and "
        "0.98, yes and no 0.94, 0.85 and 0.99 (three seeds); then steps were doubled and another world, of "
        "seed 3, was drawn to be asked about; no other setting was changed",
        "then: captions 0.98, 0.93 and 0.98, yes and no 0.98, 0.87 and 0.99; images, world of seed 2, all "
        "questions: MLP 0.90, TokenPacker 0.89, average pool 0.88 (2400 steps). The language models of these "
        "seeds compared captions right in 0.985, 0.945 and 1.000. What they read was changed, by that "
        "number alone, images were seen 18 times for 16 and overlapping shapes 8 times for 5, yes and no of "
        "regions were halved over all images for halved in each, and the worlds of seeds 4 and 5 drawn to be "
        "asked about",
        "two systems were asked about regions of the world of seed 4 before conversations grew in what is "
        "read, seeds 0 and 1: captions 0.98 and 0.91, yes and no 0.99 and 0.84; reading was changed because "
        "the language model of seed 1 compared captions right in 0.73",
    ],
}
PAIRS = (("token_packer", "mlp"), ("token_packer", "average_pool"), ("mask", "box"))


def document_of(results: Mapping[str, Sequence[dict[str, Any]]], size: Size) -> dict[str, Any]:
    """Put all systems together.

    Args:
        results: Of each system, for each seed in one order.
        size: Of the runs.
    """
    first = next(iter(results.values()))
    kinds = {name: KINDS[SYSTEMS[name].topic] for name in results}
    return {
        "tuning": TUNING,
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "images": {"train": size.train, "asked": size.asked},
        "world_seeds": {
            "learned": size.seed,
            "asked": dict(zip(TOPICS, size.asked_seeds, strict=True)),
        },
        "seeds": [result["seed"] for result in first],
        "taught_before": {
            "encoder": {"steps": size.teaching.steps, "cost": [part["encoder"] for part in first]},
            "language": {"steps": size.reading.steps, "cost": [part["language"] for part in first]},
        },
        "systems": {
            name: {
                "about": SYSTEMS[name].topic,
                "regions_shown_as": SYSTEMS[name].shown if SYSTEMS[name].topic == "regions" else None,
                "world": SYSTEMS[name].crowding,
                "settings": list(SYSTEMS[name].changes),
                "weights": parts[0]["weights"],
                "tokens_of_an_image": parts[0]["tokens_of_an_image"],
                "preparing_seconds": [part["preparing_seconds"] for part in parts],
                "training": [part["training"] for part in parts],
                "right": beside(parts, kinds[name]),
            }
            for name, parts in results.items()
        },
        "differences": {
            f"{ours} minus {theirs}": {
                kind: difference(
                    *([merge(part["trained"], some) for part in results[name]] for name in (ours, theirs))
                )
                for kind, some in kinds[ours].items()
            }
            for ours, theirs in PAIRS
            if ours in results and theirs in results
        },
    }


def main() -> None:
    """Train what the cache does not hold, and store the numbers with the machine they were made on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(SYSTEMS), nargs="+", default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, each on one thread")
    parser.add_argument("--cache", type=Path, default=ROOT / "artifacts" / "region-mllm")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "region_mllm.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = run_all(arguments.only, arguments.seeds, Size(), cache=arguments.cache, jobs=arguments.jobs)
    text = json.dumps({"machine": describe(), **document_of(found, Size())}, indent=1)
    arguments.out.write_text(f"{text}\n", encoding="utf-8")


def run_all(
    names: Sequence[str], seeds: Sequence[int], size: Size, *, cache: Path, jobs: int
) -> dict[str, list[dict[str, Any]]]:
    """Return every system with every seed, after what they start from is taught."""
    cache.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool,
    ):
        place = Place(cache=cache, images=Path(folder))
        parts = [
            pool.submit(teach_part, name, size, place, seed=seed)
            for name in ("language", "encoder")
            for seed in seeds
        ]
        for part in parts:
            part.result()
        waiting = {
            (name, seed): pool.submit(finished, name, seed, size, place) for name in names for seed in seeds
        }
        by_run = {future: key for key, future in waiting.items()}
        for future in as_completed(by_run):
            print(*by_run[future], line(future.result()), flush=True)
        return {name: [waiting[name, seed].result() for seed in seeds] for name in names}


def line(result: dict[str, Any]) -> str:
    """Say the numbers of one system, trained and shuffled."""
    kinds = KINDS[SYSTEMS[result["system"]].topic]
    shares = []
    for kind, parts in kinds.items():
        totals = [np.sum(merge(result[way], parts), axis=1) for way in ("trained", "shuffled")]
        shares.append(f"{kind} {' '.join(f'{right / asked:.3f}' for asked, right in totals)}")
    return ", ".join(shares) + f", {result['training']['processor_seconds']} s"


if __name__ == "__main__":
    main()
