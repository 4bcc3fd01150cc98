"""Do dense labels of CLIP say something, where nobody ever drew one? And do its refinements help?

    python -m benchmarks.clip_labels

Pretrained weights are not part of this project, so a tiny CLIP learns captions of drawn scenes
(``benchmarks.clip_scenes``), and the code of ``groundwork pseudo-label --from clip`` labels scenes that it
has not seen. Mean IoU over the ground and four colours, with a percentile interval from a bootstrap over the
images; means are over the seeds, which draw weights, scenes to learn from and batches. Beside it: the same
CLIP before it learnt anything, and one class everywhere. Of one vision block, patches do not see each other;
of two, the first one mixes them, as all but the last do in a real CLIP. Takes some minutes on one thread.

``--keep DIR`` leaves the first CLIP, the scenes, their truth and the classes there, to be labelled by hand.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.clip_scenes import (
    CLASSES,
    SIZE,
    TEMPLATES,
    CaptionedScene,
    draw_scenes,
    new_clip,
    save_clip,
    teach,
    write_classes,
)
from benchmarks.machine import describe
from evaluation.bootstrap import draw_weights
from evaluation.semantic import ImageConfusion, count_confusion
from evaluation.semantic_intervals import semantic_under
from tasks.data.label_maps import UNLABELLED, encode_label_map, read_label_map
from tasks.data.semantic_records import read_semantic_records
from tasks.operations.clip_labelling import ClipLabelling, label_images
from tasks.operations.clip_shards import ClipParameters

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
BLOCKS = (1, 2)
STEPS, TRAINING, TEST = 600, 3000, 100
ALPHA, RESAMPLES = 0.05, 2000
TEST_SEED = 99
PLAIN = ClipParameters(shortest=SIZE, longest=4 * SIZE, denoise=0.0, smooth=0.0)
VARIANTS = {
    "plain": PLAIN,
    "denoised": replace(PLAIN, denoise=0.5),
    "smoothed": replace(PLAIN, smooth=1.0),
    "unsure_smoothed": replace(PLAIN, smooth=0.7),
    "denoised_and_smoothed": replace(PLAIN, denoise=0.5, smooth=1.0),
    "twice_the_size": replace(PLAIN, shortest=2 * SIZE, longest=8 * SIZE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all seeds have in common."""

    scenes: list[CaptionedScene]
    """To label."""
    folder: Path
    """With ``images/`` and ``classes.txt``."""
    steps: int

    def label(self, clip: Path, parameters: ClipParameters) -> list[ImageConfusion]:
        """Label the scenes by the code of the command, and compare each pixel with the truth."""
        with tempfile.TemporaryDirectory() as scratch:
            wanted = ClipLabelling(
                images=self.folder / "images", classes=self.folder / "classes.txt", weights=str(clip),
                out=Path(scratch) / "labels", parameters=parameters, templates=TEMPLATES,
            )  # fmt: skip
            label_images(wanted)
            records = read_semantic_records(wanted.out / "records.jsonl")
            maps = [
                read_label_map(wanted.out / record.label, values=range(len(CLASSES))) for record in records
            ]
        return [confusion(number, scene, maps[number]) for number, scene in enumerate(self.scenes)]


def main() -> None:
    """Teach, label, compare, print the table, store the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--scenes", type=int, default=TEST, help="scenes to label")
    parser.add_argument("--keep", type=Path, help="folder for a CLIP, scenes and classes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "clip_labels.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scenes = draw_scenes(TEST_SEED, arguments.scenes)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        write_scenes(scenes, folder)
        write_classes(folder / "classes.txt")
        setting = Setting(scenes=scenes, folder=folder, steps=arguments.steps)
        results = {
            f"{blocks} vision block{'s' if blocks > 1 else ''}": over_seeds(
                setting, arguments.seeds, blocks, keep=arguments.keep is not None and blocks == BLOCKS[0]
            )
            for blocks in BLOCKS
        }
    document = {
        "machine": describe(),
        "seeds": list(arguments.seeds),
        "steps": arguments.steps,
        "scenes_learnt_from": TRAINING,
        "scenes_labelled": len(scenes),
        "classes": list(CLASSES),
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "results": results,
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def over_seeds(setting: Setting, seeds: list[int], blocks: int, *, keep: bool) -> dict[str, Any]:
    """Teach and label with each seed, and compare all ways of labelling."""
    confusions: dict[str, list[list[ImageConfusion]]] = {}
    teaching = []
    for place, seed in enumerate(seeds):
        where = setting.folder / "clip" if keep and place == 0 else None
        found, told = measure(setting, seed, blocks, where)
        teaching.append(told)
        for name, images in found.items():
            confusions.setdefault(name, []).append(images)
    return {"teaching": teaching, **compare(confusions)}


def measure(
    setting: Setting, seed: int, blocks: int, keep: Path | None
) -> tuple[dict[str, list[ImageConfusion]], dict[str, float]]:
    """Label before and after teaching; return confusions of each way, and what the teaching cost."""
    model, tokenizer = new_clip(seed, blocks=blocks)
    found = {"one_class": constant(setting.scenes)}
    told = {}
    with tempfile.TemporaryDirectory() as scratch:
        found["untaught"] = setting.label(save_clip(model, tokenizer, Path(scratch) / "untaught"), PLAIN)
        started = time.process_time()
        for step, loss in teach(
            model, tokenizer, draw_scenes(seed, TRAINING), steps=setting.steps, seed=seed
        ):
            told["last_loss"] = round(loss, 4)
            if step % 100 == 0:
                print(f"{blocks} blocks, seed {seed}, step {step}, loss {loss:.3f}", flush=True)
        told["cpu_seconds"] = round(time.process_time() - started, 1)
        taught = save_clip(model, tokenizer, keep or Path(scratch) / "taught")
        for name, parameters in VARIANTS.items():
            found[name] = setting.label(taught, parameters)
    return found, told


def write_scenes(scenes: list[CaptionedScene], folder: Path) -> None:
    """Write ``images/``, which the command reads, and ``truth/``, which it does not."""
    for name in ("images", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        Image.fromarray(scene.pixels).save(folder / "images" / f"{number:04d}.png")
        (folder / "truth" / f"{number:04d}.png").write_bytes(encode_label_map(scene.labels))


def constant(scenes: list[CaptionedScene]) -> list[ImageConfusion]:
    """Say the ground everywhere: the best of all answers that do not look."""
    return [confusion(number, scene, np.zeros_like(scene.labels)) for number, scene in enumerate(scenes)]


def confusion(number: int, scene: CaptionedScene, found: NDArray[np.uint8]) -> ImageConfusion:
    """Count the pixels of one scene by true and by found class."""
    return count_confusion(number, scene.labels, found, num_classes=len(CLASSES), ignore_label=UNLABELLED)


def compare(confusions: dict[str, list[list[ImageConfusion]]]) -> dict[str, Any]:
    """Return mean IoU of each way, over the seeds, and what each refinement adds on the same images.

    Args:
        confusions: Way -> seed -> image.
    """
    images = len(confusions["plain"][0])
    weight_BI = draw_weights(images, resamples=RESAMPLES, seed=0)
    whole_1I = np.ones((1, images))
    drawn, whole = (
        {
            name: np.stack([semantic_under(one, "semantic.mean_iou", weight) for one in seeds])
            for name, seeds in confusions.items()
        }
        for weight in (weight_BI, whole_1I)
    )

    def interval(values: NDArray[np.float64], resampled: NDArray[np.float64]) -> dict[str, Any]:
        low, high = np.quantile(resampled.mean(axis=0), [ALPHA / 2, 1 - ALPHA / 2])
        return {
            "mean": round(float(values.mean()), 4),
            "interval": [round(float(low), 4), round(float(high), 4)],
            "by_seed": [round(float(value), 4) for value in values[:, 0]],
        }

    return {
        "mean_iou": {name: interval(whole[name], drawn[name]) for name in confusions},
        "gain_over_plain": {
            name: interval(whole[name] - whole["plain"], drawn[name] - drawn["plain"])
            for name in VARIANTS
            if name != "plain"
        },
    }


if __name__ == "__main__":
    main()
