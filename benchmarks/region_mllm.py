"""Does the region-level model learn? Captions, yes and no, compression, masks against boxes; every seed.

    python -m benchmarks.region_mllm --seeds 0 1 2 --jobs 2 --cache artifacts/region-mllm

An encoder is taught to name shapes and a language model to read (``region_mllm_encoder``,
``region_mllm_language``), as published systems start from trained ones; all systems and seeds share both.
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
        "encoder, share of held-out regions named right: peak rate 0.006, 300 steps 0.60; 0.01, 300 steps "
        "0.61, 500 steps 0.93, 1000 steps 0.995; twice the channels cost twice the time and were given up",
        "a language model with the usual first weights (standard deviation 0.02): captions 0.44 after 750 "
        "steps at 0.006 and 0.26 after 375 at 0.002; with 1 / sqrt(width), at 0.003: 0.96 after "
        "200, 0.99 after 750",
        "without reading before, yes and no stayed at 0.50, about regions and about images: 750 steps "
        "of conversations, 400 steps of single questions, Llama and Qwen3, 2 and 3 layers, tied and untied "
        "embeddings, questions about one attribute added; attributes reached 0.67",
        "reading, right yes and no in text: scenes of any size from the start 0.69 after 600 steps, scenes "
        "that grow 0.81 after 800; pairs of a colour and a shape that are both there stay the hardest",
        "after reading, 1200 images: regions, rate 0.003 for all, 300 steps: captions 0.50, yes and no 0.76; "
        "750 steps: 0.94 and 0.86; rate 0.008, 300 steps: 0.91 and 0.54; regions 0.01 beside language 0.003: "
        "0.38 and 0.53 (the last two with the image in 4 tokens)",
        "after reading, 1200 images, MLP, all questions, 300 steps: rate 0.003 0.74, 0.008 0.72, projector "
        "0.01 beside language 0.003 0.77; 900 steps at 0.003 0.79",
        "TokenPacker, the same, 300 steps, after its first reported runs were seen to fail: projector 0.01 "
        "with first weights of 1 / sqrt(width) 0.53; projector 0.002 0.52, with such weights 0.66; average "
        "pool 0.74",
        "first reported runs of TokenPacker, published first weights, projector 0.01: right in 0.56, 0.48 "
        "and 0.48 of all questions (three seeds), with shuffled images in 0.475",
        "TokenPacker's first weights were then scaled to its width in the library; with 1 / sqrt(width) and "
        "projector 0.005, 2400 images, 750 steps: yes and no 0.74, about a part 0.86, counts 0.79",
        "the reported runs of osprey were first made with a language model that had read, 1200 steps: "
        "captions 0.83 and 0.96, yes and no 0.72 and 0.66 (two seeds); then without reading, 600 steps: "
        "captions 0.96, 0.96 and 0.77, yes and no 0.50 (three seeds); both were seen before it was let say "
        "what a region is first, which on the tuning world, 1200 steps, gave captions 0.98, yes and no 0.89",
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
        "world_seeds": list(size.seeds),
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
                "says_what_it_is_before_yes_or_no": SYSTEMS[name].reasoned,
                "weights": parts[0]["weights"],
                "tokens_of_an_image": parts[0]["tokens_of_an_image"],
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
