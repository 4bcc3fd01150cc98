"""What share of a training step is propagation, with the full-size recipe of each head?

Two images of 320 x 320 pixels cut out of a photograph, 30 boxes each, forward, backward and the step of the
optimizer in float32. Three ways are timed in turn: without propagation, with it as we have it (one tree and
one window affinity an image serve all its regions), and with a tree and a window affinity for every region,
as the release of APro builds them for every positive cell of its SOLOv2 head. The share of a way is the
difference of its median and that of the step without propagation, over its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.affinity_inputs import DEVIATION, MEAN, guidance
from benchmarks.timing import interleave
from benchmarks.weak_problems import ROOT
from models.affinity.spanning_tree import minimum_spanning_tree
from models.segmentation import condinst_objective, query_masks, solo_objective
from models.segmentation.box_losses import PredictedMasks, box_losses
from models.segmentation.box_supervision import BoxSupervision, Guidance
from models.segmentation.learning import build_optimizer
from models.segmentation.objective import TrainingBatch
from models.segmentation.recipes import InstanceRecipe, build_instance_model
from tasks.operations.recipe_files import read_recipe

RECIPES = ("condinst_affinity_r50_coco", "solov2_r50_coco", "mask2former_r50_coco")
SIDE, BOXES, IMAGES, THREADS = 320, 30, 2, 2
SMALLEST, LARGEST = 20.0, 80.0
"""Sides of boxes in pixels."""
OURS, NONE, EACH = "one tree an image", "without propagation", "one tree a region"
LIMIT = 0.15


def run_share(*, runs: int, recipes: tuple[str, ...] = RECIPES) -> dict[str, Any]:
    """Time a step of each recipe.

    Args:
        runs: Steps of each way; their median counts.
        recipes: Names in ``configs/recipes``.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        timed = {name: time_recipe(name, runs) for name in recipes}
    finally:
        torch.set_num_threads(threads)
    return {
        "side": SIDE,
        "images": IMAGES,
        "boxes_per_image": BOXES,
        "threads": THREADS,
        "steps": runs,
        "limit": LIMIT,
        "recipes": timed,
    }


def time_recipe(name: str, runs: int) -> dict[str, Any]:
    """Time the three ways of one recipe, beside each other."""
    recipe, _ = read_recipe(name, ("norm=group",), ROOT)  # "frozen" has no meaning for random weights
    if not isinstance(recipe, InstanceRecipe):
        raise TypeError(f"{name} must be a recipe of instances.")
    torch.manual_seed(0)
    model = build_instance_model(recipe).train()
    optimizer = build_optimizer(model, recipe)
    batch = make_batch()
    on = replace(recipe.supervision, warmup_steps=0)
    off = replace(on, global_weight=0.0, local_weight=0.0)

    def step(supervision: BoxSupervision) -> None:
        losses = model.losses(batch, supervision, step=0)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # the same step again
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def each() -> None:
        with tree_for_each_region():
            step(on)

    ways: dict[str, Callable[[], object]] = {NONE: lambda: step(off), OURS: lambda: step(on), EACH: each}
    timings, _ = interleave(ways, runs=runs)
    without = timings[NONE].median_ms
    return {
        "masks": count_masks(model, batch, on),
        "ways": {
            way: asdict(timing) | {"share": round(1.0 - without / timing.median_ms, 4)}
            for way, timing in timings.items()
        },
    }


def make_batch() -> TrainingBatch:
    """Cut the images and draw the boxes, the same on every machine."""
    draw = torch.Generator().manual_seed(0)
    mean, deviation = (torch.tensor(value)[:, None, None] for value in (MEAN, DEVIATION))
    image_BCHW = (guidance(IMAGES, SIDE, SIDE) * deviation + mean) / 255.0

    def boxes() -> Tensor:
        corner_R2 = torch.rand(BOXES, 2, generator=draw) * (SIDE - LARGEST)
        side_R2 = SMALLEST + torch.rand(BOXES, 2, generator=draw) * (LARGEST - SMALLEST)
        return torch.cat((corner_R2, corner_R2 + side_R2), dim=1)

    return TrainingBatch(
        image_BCHW=image_BCHW.clamp(0.0, 1.0),
        boxes=tuple(boxes() for _ in range(IMAGES)),
        categories=(torch.zeros(BOXES, dtype=torch.int64),) * IMAGES,
        image_ids=tuple(range(IMAGES)),
    )


@contextmanager
def losses_by(function: Callable[..., dict[str, Tensor]]) -> Iterator[None]:
    """Let all three heads compute the losses of their masks with another function."""
    modules = (condinst_objective, solo_objective, query_masks)
    for module in modules:
        module.box_losses = function  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in modules:
            module.box_losses = box_losses  # type: ignore[attr-defined]


@contextmanager
def tree_for_each_region() -> Iterator[None]:
    """Build a tree and a window affinity for every mask, from as many copies of its image."""

    def losses(
        masks: PredictedMasks, shared: Guidance, supervision: BoxSupervision, *, step: int
    ) -> dict[str, Tensor]:
        image_RCHW = shared.image_BCHW[masks.image_R]
        trees = None
        if shared.trees is not None and len(image_RCHW):
            size = (shared.trees.height, shared.trees.width)
            squashed = torch.nn.functional.interpolate(image_RCHW, size=size, mode="bilinear")
            trees = minimum_spanning_tree(squashed)
        own = Guidance(image_BCHW=image_RCHW, trees=trees, similarity_BKHW=None)
        alone = masks._replace(image_R=torch.arange(len(image_RCHW)))
        return box_losses(alone, own, supervision, step=step)

    with losses_by(losses):
        yield


def count_masks(model: Any, batch: TrainingBatch, supervision: BoxSupervision) -> int:  # noqa: ANN401
    """Count the masks that a step teaches, over all levels and layers."""
    counted = 0

    def losses(masks: PredictedMasks, _: Guidance, __: BoxSupervision, *, step: int) -> dict[str, Tensor]:
        nonlocal counted
        counted += len(masks.image_R)
        return {"none": masks.logit_RHW.sum() * float(step)}

    with losses_by(losses), torch.no_grad():
        model.losses(batch, supervision, step=0)
    return counted
