"""``groundwork plan``: what the stages of a published training need on so many GPUs, before one is rented."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.region_lm.planning import (
    Machines,
    SampleShape,
    Sharding,
    UnfitRegionsError,
    check_regions,
    count_stage,
    estimate_stage,
)
from models.region_lm.recipes import RegionRecipe
from models.region_lm.trainable import StagePlan
from tasks.errors import UsageError
from tasks.operations.changes import name_changes
from tasks.operations.region_files import read_region_recipe

ESTIMATED = (
    "Counted: parameters, positions, steps; of encoder, projector and language model multiplications and the "
    "tensors that the graph keeps. "
    "Assumed: bfloat16 with float32 AdamW, a checkpoint before every block, each image the longest. "
    "Not counted: what turns masks into tokens (its parameters are), what kernels need for themselves, "
    "fragmentation, buffers of communication. "
    "Nothing was measured: keep a tenth of the memory free."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What was asked for."""

    recipe: str
    """Name of a file in ``configs/region_lm``, or a path."""
    gpus: int
    memory: float
    """Of each GPU, in GiB."""
    samples: int
    """Of each stage's data."""
    text: int
    """Tokens of a sample that are text."""
    answer: int
    """Of these, tokens with a label."""
    regions: int
    """Of a sample."""
    stage: str | None = None
    """One stage; None: all of them."""
    changes: tuple[str, ...] = ()
    """``key=value`` of the recipe."""


def plan_training(request: PlanRequest, repository: Path) -> dict[str, Any]:
    """Estimate every stage under DDP and under FSDP.

    Args:
        request: What was asked for.
        repository: Root of the project.

    Returns:
        ``recipe``, ``gpus``, ``stages`` (for each its name, its counts and one estimate for each kind of
        sharding) and ``note``: what of it is estimated.

    Raises:
        UsageError: If there is no such recipe or stage, or its numbers do not fit together.
    """
    if not math.isfinite(request.memory):
        raise UsageError(
            f"must be a number of GiB, got {request.memory}.",
            obj=f"--memory {request.memory}",
            hint="Say how much one GPU has, such as --memory 80.",
        )
    recipe = read_region_recipe(request.recipe, request.changes, repository)
    try:
        stages = recipe.stages if request.stage is None else (recipe.stage(request.stage),)
        sample = SampleShape(text=request.text, answer=request.answer, regions=request.regions)
        for stage in stages:
            check_regions(recipe, stage, sample)
        found = [_stage(recipe, stage, sample, request) for stage in stages]
    except UnfitRegionsError as error:
        raise UsageError(
            str(error),
            obj=f"--regions {request.regions}",
            hint="Give as many as a sample mentions, such as --regions 8, or plan another --stage.",
        ) from error
    except ValueError as error:
        raise UsageError(
            str(error), obj=f"{request.recipe} {name_changes(request.changes)}".strip(), hint=_hint(request)
        ) from error
    return {
        "recipe": request.recipe,
        "gpus": request.gpus,
        "memory_gib": request.memory,
        "stages": found,
        "note": ESTIMATED,
    }


def _hint(request: PlanRequest) -> str:
    change = f", or correct `{name_changes(request.changes)}`" if request.changes else ""
    return f"Say other --gpus, --memory, --samples, --text, --answer, --regions or --stage{change}."


def _stage(
    recipe: RegionRecipe, stage: StagePlan, sample: SampleShape, request: PlanRequest
) -> dict[str, Any]:
    counts = count_stage(recipe, stage, sample)

    def on(sharding: Sharding) -> dict[str, Any]:
        machines = Machines(count=request.gpus, memory=int(request.memory * 2**30), sharding=sharding)
        estimate = estimate_stage(counts, stage, machines, num_samples=request.samples)
        return {**asdict(estimate), "memory": {**asdict(estimate.memory), "total": estimate.memory.total}}

    return {"name": stage.name, **asdict(counts), "ddp": on("ddp"), "fsdp": on("fsdp")}
