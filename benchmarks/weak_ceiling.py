"""Does propagation know more than the mask it starts from? Masks of projection alone, and their labels.

Two heads learn from projection alone, long enough to settle. On the way, the masks that they predict for
boxes of train are handed to both propagations, with the settings of ``weak_training``, and all three are held
against the true masks: the mask itself, the label of the global and that of the local branch. Nothing learns
from the labels here. Where a label is no better than the mask it was made of, a network that follows it
cannot gain.

``iou`` is the mean over regions of the IoU inside the box, at 0.5 and at the size of the masks; true masks
are brought to that size by the share that they cover.

Shape suffixes:
    R = regions   H, W = size of the masks   B = images
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.weak_problems import NUCLEI, WORLD, Problem
from benchmarks.weak_training import PROJECTION, PROPAGATION, SETUPS, Setup, build, train
from models.segmentation import condinst_objective, solo_objective
from models.segmentation.affinity_loss import stretch_labels
from models.segmentation.box_losses import PredictedMasks, global_labels
from models.segmentation.box_supervision import BoxSupervision, Guidance, cover
from models.segmentation.instance_hub import InstanceSegmenter
from models.segmentation.objective import TrainingBatch
from models.segmentation.preprocessing import contrast_range, stretch
from tasks.data.images import read_rgb
from tasks.data.records import ImageRecord
from tasks.data.rle import decode_mask

HEADS = ("condinst", "solo")
STEPS = (60, 120, 240, 480)
"""After which labels are looked at; the last one is the length of the training."""
RECORDS, TOGETHER = 160, 8
"""Images of train that are looked at, and how many of them at a time."""
NAMES = ("mask", "global", "local")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Handed:
    """What a head gave to the losses."""

    masks: PredictedMasks
    guidance: Guidance


def run_ceiling(
    *, seeds: Sequence[int], folder: Path, make: Callable[[str, Path], Problem], say: Callable[[str], None]
) -> dict[str, Any]:
    """Train both heads on both problems with every seed, and return the IoU by step.

    Args:
        seeds: Of the trainings.
        folder: For the images.
        make: Writes a problem of a name to a folder.
        say: Told each training.
    """
    problems: dict[str, Any] = {}
    for name in (WORLD, NUCLEI):
        problem = make(name, folder / name)
        problems[name] = {}
        for head in HEADS:
            found = [watch(lasting(SETUPS[name, head], STEPS[-1]), problem, seed) for seed in seeds]
            rows = {
                str(step): {part: round(fmean(run[step][part] for run in found), 4) for part in NAMES}
                for step in STEPS
            }
            problems[name][head] = {"mean": rows, "by_seed": found}
            say(f"{name} {head}: {rows}")
    return {"seeds": list(seeds), "records": RECORDS, "steps": list(STEPS), "problems": problems}


def lasting(setup: Setup, steps: int) -> Setup:
    """Return a setup with another length."""
    kept = tuple(item for item in setup.changes if not item.startswith(("schedule.length", "schedule.drops")))
    length = (f"schedule.length={steps}", f"schedule.drops=[{steps * 4 // 5}]")
    return replace(setup, changes=(*kept, *length))


def watch(setup: Setup, problem: Problem, seed: int, steps: Sequence[int] = STEPS) -> dict[int, Any]:
    """Train with projection alone and look at the labels on the way.

    Returns:
        By step, the IoU of each of ``NAMES``.
    """
    model, settings = build(setup, problem, seed=seed, arm=PROJECTION)
    taught, _ = build(setup, problem, seed=seed, arm=PROPAGATION)
    found: dict[int, Any] = {}

    def look(step: int) -> None:
        if step in steps:
            found[step] = judge(model, problem, taught.recipe.supervision)

    train(model, settings, problem, after=look)
    return found


@torch.no_grad()
def judge(model: InstanceSegmenter, problem: Problem, supervision: BoxSupervision) -> dict[str, float]:
    """Hold masks and labels of the first images of train against the truth."""
    values: dict[str, list[Tensor]] = {name: [] for name in NAMES}
    was_training = model.segmenter.training
    model.segmenter.eval()
    for start in range(0, min(RECORDS, len(problem.train)), TOGETHER):
        records = problem.train[start : min(start + TOGETHER, RECORDS)]
        batch = shown(model, problem, records)
        with handed_over() as seen:
            model.segmenter.losses(batch, supervision, step=0)
        for part in seen:
            true_RHW = truth(part.masks, batch, records)
            for name, field_RHW in labels_of(part, supervision).items():
                values[name].append(iou_inside(field_RHW, true_RHW, part.masks.inside_RHW))
    model.segmenter.train(was_training)
    return {name: round(float(torch.cat(parts).mean()), 4) for name, parts in values.items()}


def shown(model: InstanceSegmenter, problem: Problem, records: Sequence[ImageRecord]) -> TrainingBatch:
    """Show images as a training does, but whole and unchanged."""
    images, side = [], model.recipe.images.crop
    if side is None:
        raise ValueError("the recipe must take crops.")
    for record in records:
        pixels = read_rgb(problem.folder / record.file, height=record.height, width=record.width)
        pixels_CHW = torch.from_numpy(pixels).permute(2, 0, 1)
        stretched = model.recipe.images.stretch_contrast
        image_CHW = stretch(pixels_CHW, contrast_range(pixels_CHW)) if stretched else pixels_CHW / 255.0
        images.append(functional.interpolate(image_CHW[None], size=(side, side), mode="bilinear")[0])
    scale = [side / record.width for record in records]
    return TrainingBatch(
        torch.stack(images),
        tuple(
            torch.tensor([region.box_xyxy for region in record.regions]) * factor
            for record, factor in zip(records, scale, strict=True)
        ),
        tuple(
            torch.tensor([problem.categories.index(region.category) for region in record.regions])
            for record in records
        ),
        tuple(record.image_id for record in records),
    )


@contextmanager
def handed_over() -> Iterator[list[_Handed]]:
    """Keep what heads give to the losses, which are 0 in the meantime."""
    seen: list[_Handed] = []

    def keep(
        masks: PredictedMasks, guidance: Guidance, supervision: BoxSupervision, *, step: int
    ) -> dict[str, Tensor]:
        del supervision, step
        if len(masks.logit_RHW):
            seen.append(_Handed(masks=masks, guidance=guidance))
        return {}

    modules = (condinst_objective, solo_objective)
    kept = [module.box_losses for module in modules]
    for module in modules:
        module.box_losses = keep  # type: ignore[attr-defined]
    try:
        yield seen
    finally:
        for module, losses in zip(modules, kept, strict=True):
            module.box_losses = losses  # type: ignore[attr-defined]


def truth(masks: PredictedMasks, batch: TrainingBatch, records: Sequence[ImageRecord]) -> Tensor:
    """Return the true mask of each predicted one, bool (R, H, W): that of the box it answers for."""
    height, width = masks.logit_RHW.shape[1:]
    stride = batch.image_BCHW.shape[2] / height
    found = []
    for number, inside_HW in zip(masks.image_R.tolist(), masks.inside_RHW, strict=True):
        boxes_RHW = cover(batch.boxes[number], height, width, stride=stride)
        place = int((boxes_RHW - inside_HW).abs().sum(dim=(1, 2)).argmin())
        rle = records[number].regions[place].mask
        if rle is None:
            raise ValueError(f"region {place} of {records[number].file} has no mask.")
        mask_HW = torch.from_numpy(decode_mask(rle).astype(np.float32))[None, None]
        found.append(functional.interpolate(mask_HW, size=(height, width), mode="area")[0, 0] >= 0.5)
    return torch.stack(found)


def labels_of(handed: _Handed, supervision: BoxSupervision) -> dict[str, Tensor]:
    """Return the mask and both labels, probabilities (R, H, W)."""
    masks, guidance = handed.masks, handed.guidance
    probability_RHW = masks.logit_RHW.float().sigmoid()
    near = supervision.cascade().near(
        probability_RHW[:, None], guidance.image_BCHW, masks.inside_RHW[:, None], image_R=masks.image_R
    )[:, 0]
    _, far_RHW = global_labels(probability_RHW, masks, guidance, supervision)
    return {
        "mask": probability_RHW,
        "global": far_RHW,
        "local": stretch_labels(near, masks.inside_RHW) if supervision.stretch else near,
    }


def iou_inside(field_RHW: Tensor, true_RHW: Tensor, inside_RHW: Tensor) -> Tensor:
    """Return the IoU of each region inside its box, (R,)."""
    within = inside_RHW > 0.0
    found, true = (field_RHW >= 0.5) & within, true_RHW & within
    both, either = ((part).sum(dim=(1, 2)) for part in (found & true, found | true))
    return both / either.clamp(min=1)
