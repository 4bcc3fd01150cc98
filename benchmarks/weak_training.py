"""One training from boxes and its score: all parts are those of the product, but the network is narrow."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.weak_networks import HEADS, narrow_model
from benchmarks.weak_problems import NUCLEI, ROOT, WORLD, Problem
from evaluation.detection import evaluate
from evaluation.instances import ImageDetections, ImageTruth
from evaluation.tables import Tables
from models.blocks.loop import WeightAverage, train_steps
from models.blocks.precision import has_fast_bfloat16
from models.segmentation.decode import Detections
from models.segmentation.instance_hub import InstanceSegmenter, new_instance_segmenter
from models.segmentation.learning import build_optimizer
from models.segmentation.mixed_precision import in_bfloat16
from models.segmentation.recipes import InstanceRecipe
from tasks.data.images import read_rgb
from tasks.data.instance_batches import BatchPolicy, ImageStore, draw_places, plan_step
from tasks.data.records import ImageRecord
from tasks.data.rle import encode_mask
from tasks.operations.recipe_files import TrainingSettings, read_recipe

PROJECTION, PROPAGATION, BOUNDED = "projection", "propagation", "propagation, nothing outside"
"""The arms. The first two differ in the weights of propagation alone. The third, of SOLOv2 alone, has another
loss too (``outside_weight``): without it masks are right in their boxes and cover other objects as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A head on a problem."""

    recipe: str
    changes: tuple[str, ...]
    """Of the recipe in every arm, as ``groundwork fit --set`` takes them."""
    arms: dict[str, tuple[str, ...]]
    """Changes of each arm."""
    num_queries: int = 12


_SHORT = (
    "images.jitter=[0.9,1.2]",
    "images_per_step=8",
    "schedule.warmup_steps=15",
    "supervision.warmup_steps=30",
    "training.average_decay=0.97",
)
"""A short training."""
_LENGTH = {"condinst": 100, "solo": 120, "query": 200}
"""Steps."""
_SIDE = {"condinst": 128, "solo": 192, "query": 128}
"""Pixels of the input, to which 64 pixels of a scene or tile are enlarged."""
_HEAD: dict[str, tuple[str, ...]] = {
    "condinst": (),
    "solo": (),
    "query": (
        "optimizer.learning_rate=0.001",
        "optimizer.weight_decay=0.0001",
        "optimizer.gradient_norm=5.0",
    ),
}
_WEIGHTS = {
    (WORLD, "condinst"): (2.0, 1.0),
    (WORLD, "solo"): (2.0, 1.0),
    (WORLD, "query"): (1.0, 1.0),
    (NUCLEI, "condinst"): (1.0, 3.0),
    (NUCLEI, "solo"): (1.0, 3.0),
    (NUCLEI, "query"): (1.0, 1.0),
}
"""Of the global and the local branch, in the arm that has them."""
_PROBLEM = {
    WORLD: (
        "supervision.zeta_image=0.05",
        "supervision.zeta_label=0.1",
        "supervision.zeta_local=0.15",
        "supervision.local_iterations=20",
    ),
    NUCLEI: (
        "supervision.zeta_image=0.015",
        "supervision.zeta_label=0.03",
        "supervision.zeta_local=0.05",
        "supervision.local_iterations=20",
    ),
}
_QUERIES = {WORLD: 12, NUCLEI: 20}
"""More than the objects of a scene, or of a tile."""


def _setup(problem: str, head: str) -> Setup:
    steps = _LENGTH[head]
    length = (f"schedule.length={steps}", f"schedule.drops=[{steps * 4 // 5}]", f"images.crop={_SIDE[head]}")
    far, near = _WEIGHTS[problem, head]
    arms = {PROJECTION: _weights(0.0, 0.0), PROPAGATION: _weights(far, near)}
    if head == "solo":
        total = {WORLD: (4.0, 4.0), NUCLEI: (2.0, 6.0)}[problem]
        arms[BOUNDED] = (*_weights(*total), "supervision.outside_weight=2.0")
    return Setup(
        recipe=f"tiny_{head}",
        changes=(*length, *_SHORT, *_HEAD[head], *_PROBLEM[problem]),
        arms=arms,
        num_queries=_QUERIES[problem],
    )


def _weights(far: float, near: float) -> tuple[str, ...]:
    return (f"supervision.global_weight={far}", f"supervision.local_weight={near}")


SETUPS = {(problem, head): _setup(problem, head) for problem in _PROBLEM for head in HEADS}


def build(
    setup: Setup, problem: Problem, *, seed: int, arm: str
) -> tuple[InstanceSegmenter, TrainingSettings]:
    """Build the model of an arm; its first weights and the order of its images follow from the seed alone."""
    changes = (*setup.changes, *setup.arms[arm], f"training.seed={seed}")
    recipe, settings = read_recipe(setup.recipe, changes, ROOT)
    if not isinstance(recipe, InstanceRecipe):
        raise TypeError(f"{setup.recipe} must be a recipe of instances.")
    recipe = replace(recipe, num_categories=len(problem.categories))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_instance_segmenter(problem.categories, recipe)
        torch.manual_seed(seed)
        model.segmenter = narrow_model(
            recipe.head,
            num_categories=recipe.num_categories,
            num_queries=setup.num_queries,
            side=_side(recipe),
        )
    return model, settings


def _side(recipe: InstanceRecipe) -> int:
    if recipe.images.crop is None:
        raise ValueError("the recipe must take crops: tiles and scenes are squares of one size.")
    return recipe.images.crop


def train(
    model: InstanceSegmenter,
    settings: TrainingSettings,
    problem: Problem,
    *,
    after: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Train in place, from boxes alone, and return what it cost; the model holds the mean of its weights.

    Args:
        model: Learns.
        settings: Of the training.
        problem: Gives images and boxes.
        after: Called with the number of steps taken, after each of them.
    """
    recipe, segmenter = model.recipe, model.segmenter
    store = ImageStore(problem.train, problem.folder, problem.categories)
    policy = BatchPolicy(
        images=recipe.images,
        images_per_step=recipe.images_per_step,
        stride=model.largest_stride,
        seed=settings.seed,
    )

    def losses_of(step: int) -> dict[str, Tensor]:
        plan = plan_step(store.records, policy, step)
        batch = draw_places(store, plan, recipe.images, range(recipe.images_per_step))
        return segmenter.losses(batch, recipe.supervision, step=step)

    segmenter.train()
    average = WeightAverage(segmenter, settings.average_decay)
    wall, processor = time.monotonic(), time.process_time()
    with torch.random.fork_rng(devices=[]), in_bfloat16(segmenter, enabled=has_fast_bfloat16()):
        torch.manual_seed(settings.seed)
        for result in train_steps(
            segmenter,
            losses_of,
            build_optimizer(segmenter, recipe),
            average,
            first_step=0,
            num_steps=recipe.schedule.length,
            learning_rate_of=lambda step: recipe.schedule.rate(
                step, peak=recipe.optimizer.learning_rate, steps_per_unit=1
            ),
            gradient_norm=recipe.optimizer.gradient_norm or math.inf,
        ):
            if after is not None:
                after(result.step)
    segmenter.load_state_dict(average.weights)
    return {
        "wall_seconds": round(time.monotonic() - wall, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
    }


def score(model: InstanceSegmenter, problem: Problem) -> Tables:
    """Ask the model about every record and score its answers as ``evaluate_detection`` does."""
    place = {name: number for number, name in enumerate(problem.categories)}
    truths, answers = [], []
    for record in problem.asked:
        pixels = read_rgb(problem.folder / record.file, height=record.height, width=record.width)
        truths.append(_truth(record, place))
        answers.append(_answer(record, model.predict([pixels])[0]))
    return evaluate(truths, answers, categories=problem.categories).tables


def _truth(record: ImageRecord, place: dict[str, int]) -> ImageTruth:
    regions = record.regions
    return ImageTruth(
        image_id=record.image_id,
        height=record.height,
        width=record.width,
        region_ids=np.array([region.region_id for region in regions], np.int64),
        categories=np.array([place[region.category] for region in regions], np.int64),
        boxes_xyxy=np.array([region.box_xyxy for region in regions], np.float64),
        masks=tuple(region.mask.to_json() for region in regions if region.mask is not None),
        is_crowd=np.zeros(len(regions), np.bool_),
    )


def _answer(record: ImageRecord, found: Detections) -> ImageDetections:
    masks: list[NDArray[np.bool_]] = list(found.masks.numpy().astype(np.bool_))
    return ImageDetections(
        image_id=record.image_id,
        height=record.height,
        width=record.width,
        categories=found.categories.numpy().astype(np.int64),
        boxes_xyxy=found.boxes_xyxy.numpy().astype(np.float64).reshape(-1, 4),
        masks=tuple(encode_mask(mask).to_json() for mask in masks),
        scores=found.scores.numpy().astype(np.float64),
    )


def per_record(tables: Tables, problem: Problem) -> dict[str, list[Any]]:
    """Count by record, for each category: true objects, matched pairs and the sum of their mask IoU."""
    place = {record.image_id: number for number, record in enumerate(problem.asked)}
    columns: dict[str, list[Any]] = {}
    matches = tables.matches[tables.matches["mask_matched_50"].astype(bool)]
    for name in problem.categories:
        rows = matches[matches["category"] == name]
        at = rows["image_id"].map(place).to_numpy(np.int64)
        columns[f"objects.{name}"] = tables.regions_of(name).tolist()
        columns[f"matched.{name}"] = np.bincount(at, minlength=len(place)).tolist()
        total = np.bincount(at, weights=rows["mask_iou"].to_numpy(np.float64), minlength=len(place))
        columns[f"iou.{name}"] = [round(float(value), 6) for value in total]
    return columns
