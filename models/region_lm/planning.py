"""What a stage of a training will need, before a GPU is rented: counted on shapes alone, without weights.

Counted: parameters; what the graph keeps for the backward pass (from the graph itself, run on tensors that
have shapes and no memory); multiplications (torch's counter). Assumed: bfloat16 for weights, gradients and
activations, float32 for AdamW's two moments and its copy of the trained weights (Rajbhandari et al., "ZeRO",
https://arxiv.org/abs/1910.02054, section 3.1); FSDP shares all of these out and gathers two blocks at a time.
Not counted: what turns masks into tokens, its multiplications and its graph (parameters are); what kernels
need for themselves, fragmentation, buffers of communication.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn

from models.region_lm.assembly import planned_model
from models.region_lm.hub import RegionMLLM
from models.region_lm.recipes import RegionRecipe
from models.region_lm.stage_graph import count_graph
from models.region_lm.trainable import StagePlan, begin_stage
from models.vision.tiles import TileLayout, candidate_grids, sequence_length

Sharding = Literal["ddp", "fsdp"]
_HALF, _FULL = 2, 4  # bytes of a bfloat16 and a float32


class UnfitRegionsError(ValueError):
    """No run of a stage begins with samples of so many regions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleShape:
    """How long a sample is: chosen by who asks, not known from the recipe."""

    text: int
    """Tokens of question, answer and template."""
    answer: int
    """Of these, tokens with a label."""
    regions: int
    """Regions that are mentioned."""

    def __post_init__(self) -> None:
        """Refuse a sample that teaches nothing.

        Raises:
            ValueError: With the values.
        """
        if not 1 <= self.answer <= self.text or self.regions < 0:
            raise ValueError(
                f"answer must be between 1 and text, and regions at least 0, "
                f"got {self.answer}, {self.text} and {self.regions}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Where the training is to run."""

    count: int
    """GPUs."""
    memory: int
    """Of each, in bytes."""
    sharding: Sharding
    """"ddp": every GPU holds everything; "fsdp": each holds its share."""

    def __post_init__(self) -> None:
        """Refuse no GPU.

        Raises:
            ValueError: With the values.
        """
        if self.count < 1 or self.memory < 1:
            raise ValueError(f"GPUs and memory must be at least 1, got {self.count} and {self.memory}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMemory:
    """Bytes on the fullest GPU."""

    weights: int
    gradients: int
    optimizer: int
    """AdamW's moments, and the trained weights in float32."""
    gathered: int
    """Blocks that FSDP has put together for the moment."""
    activations: int
    """Kept for the backward pass, with the block that is computed again."""
    scores: int
    """Of the vocabulary at every label, and their gradient."""

    @property
    def total(self) -> int:
        """All of it."""
        state = self.weights + self.gradients + self.optimizer
        return state + self.gathered + self.activations + self.scores


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCounts:
    """What one stage costs, wherever it runs."""

    parameters: dict[str, int]
    """By part of the model."""
    trained: dict[str, int]
    """Of these, what learns; adapters of the language model count as ``lora``."""
    block_parameters: int
    """Of one block of the language model."""
    image_tokens: int
    """Of the largest image: all tiles, separators and the overview."""
    sample_tokens: int
    """Positions of a sample."""
    kept_bytes: int
    """Of a sample, between the passes."""
    block_bytes: int
    """Of a sample, for the block that is computed again."""
    score_bytes: int
    """Of a sample: scores of the vocabulary at its labels."""
    sample_flops: int
    """Forward, backward, and forward again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEstimate:
    """What one stage needs on given GPUs."""

    memory: GpuMemory
    """With ``micro_batch``, or one sample if not even that fits."""
    micro_batch: int
    """Samples of a GPU at a time: the largest that fits; 0 if not even one does."""
    accumulation: int
    """Micro-batches of a GPU in a step; 0 if none fits."""
    steps: int
    """Optimizer steps of the stage."""
    step_flops: int
    """Floating-point operations of a step on all GPUs."""


def count_stage(recipe: RegionRecipe, plan: StagePlan, sample: SampleShape) -> StageCounts:
    """Count what one sample of a stage costs, with a checkpoint before every block.

    Args:
        recipe: The system.
        plan: One of its stages.
        sample: How long samples are.

    Raises:
        ValueError: If a part of the stage is not in the model, or the sample is longer than the language
            model reads.
        UnfitRegionsError: If the model sees no regions or not so many, or none reaches a part that learns.
    """
    check_regions(recipe, plan, sample)
    model = planned_model(recipe.model, recipe.language)
    nn.Module.to(model, torch.bfloat16)
    begin_stage(model, plan)
    image_tokens, canvases = largest_image(model)
    slots = len(recipe.model.regions.slots) if recipe.model.regions else 0
    length = image_tokens + sample.regions * slots + sample.text
    if length > recipe.language.max_positions:
        raise ValueError(
            f"a sample has {length} positions, the language model reads {recipe.language.max_positions}."
        )
    head = cast(nn.Linear, model.get_output_embeddings())
    parameters = _by_part(model, trained_only=False)
    kept, block, flops = count_graph(model, plan, length, canvases)
    return StageCounts(
        parameters=parameters,
        trained=_by_part(model, trained_only=True),
        block_parameters=sum(parameter.numel() for parameter in model.language.model.layers[0].parameters()),
        image_tokens=image_tokens,
        sample_tokens=length,
        kept_bytes=kept,
        block_bytes=block,
        # In bfloat16 from the head, in float32 for the loss, and their gradient.
        score_bytes=sample.answer * head.out_features * (_HALF + 2 * _FULL),
        # Of the head at labels: forward, to its input, and to its weights where they learn.
        sample_flops=flops
        + (3 if head.weight.requires_grad else 2) * 2 * sample.answer * head.weight.numel(),
    )


def check_regions(recipe: RegionRecipe, plan: StagePlan, sample: SampleShape) -> None:
    """Refuse samples with which no run of the stage begins; all of them have an image.

    Raises:
        UnfitRegionsError: If the model sees no regions or not so many, or none reaches a part that learns.
    """
    settings = recipe.model.regions
    if settings is None:
        if sample.regions:
            raise UnfitRegionsError(f"the model sees no regions, got samples with {sample.regions}.")
        return
    if sample.regions > settings.most:
        raise UnfitRegionsError(
            f"the model sees at most {settings.most} regions of an image, got samples with {sample.regions}."
        )
    parts = [trained.part for trained in plan.train if trained.part.split(".")[0] == "regions"]
    if parts and not sample.regions:
        raise UnfitRegionsError(
            f"stage {plan.name!r} trains {parts[0]!r}, which samples without regions do not reach."
        )


def estimate_stage(
    counts: StageCounts, plan: StagePlan, machines: Machines, *, num_samples: int
) -> StageEstimate:
    """Share a stage out over GPUs.

    Args:
        counts: Of the stage.
        plan: The stage.
        machines: Where it runs.
        num_samples: Of the stage's data.

    Raises:
        ValueError: If there is no sample, or the stage's batch cannot be shared out over the GPUs.
    """
    if num_samples < 1:
        raise ValueError(f"samples must be at least 1, got {num_samples}.")
    if plan.global_batch % machines.count:
        raise ValueError(
            f"the batch of {plan.global_batch} of stage {plan.name!r} must be a multiple of the GPUs, "
            f"got {machines.count}."
        )
    share = plan.global_batch // machines.count
    sizes = [size for size in range(1, share + 1) if share % size == 0]
    fitting = [size for size in sizes if _memory(counts, machines, size).total <= machines.memory]
    micro_batch = max(fitting, default=0)
    return StageEstimate(
        memory=_memory(counts, machines, max(1, micro_batch)),
        micro_batch=micro_batch,
        accumulation=share // micro_batch if micro_batch else 0,
        steps=-(-num_samples // plan.global_batch) * plan.epochs,
        step_flops=counts.sample_flops * plan.global_batch,
    )


def largest_image(model: RegionMLLM) -> tuple[int, int]:
    """Return the positions and the canvases of the image that needs most of them."""
    tokens, images = model.projector.num_tokens, model.settings.images
    if images.kind != "tiles":
        return tokens, 1
    side = next(iter(model.settings.vision.sides.values()))
    layouts = [
        TileLayout(rows=rows, columns=columns, tile=side, overview=rows * columns > 1)
        for rows, columns in candidate_grids(images.most_tiles or 1, images.max_strip)
    ]
    longest = max(layouts, key=lambda layout: sequence_length(layout, tokens))
    return sequence_length(longest, tokens), longest.count


def _memory(counts: StageCounts, machines: Machines, batch: int) -> GpuMemory:
    """Add up a GPU with micro-batches of a size."""
    everything, learned = sum(counts.parameters.values()), sum(counts.trained.values())
    shares = machines.count if machines.sharding == "fsdp" else 1
    return GpuMemory(
        weights=-(-everything * _HALF // shares),
        gradients=-(-learned * _HALF // shares),
        optimizer=-(-learned * 3 * _FULL // shares),
        gathered=2 * counts.block_parameters * _HALF if shares > 1 else 0,
        activations=batch * (counts.kept_bytes + counts.block_bytes),
        scores=batch * counts.score_bytes,
    )


def _by_part(model: nn.Module, *, trained_only: bool) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad or not trained_only:
            part = "lora" if ".lora_" in name else name.split(".")[0]
            counts[part] = counts.get(part, 0) + parameter.numel()
    return counts
