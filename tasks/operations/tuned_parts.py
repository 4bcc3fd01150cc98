"""The parts of a model that one stage trains: do samples reach them, how are they held, how many are they."""

from collections.abc import Sequence

import torch

from models.region_lm.hub import RegionMLLM
from models.region_lm.trainable import LANGUAGE, StagePlan
from tasks.data.region_mix import MixSample
from tasks.errors import DataError
from tasks.operations.tune_request import TuneSettings


def check_reach(plan: StagePlan, samples: Sequence[MixSample]) -> None:
    """Refuse parts that no sample reaches, and samples that reach no part.

    Regions learn where one is mentioned, encoder and projector where there is an image, the language model
    everywhere.

    Raises:
        DataError: With the part, or the number of such samples and the name of one.
    """
    parts = [trained.part.split(".")[0] for trained in plan.train] + ([LANGUAGE] if plan.lora else [])
    reached: set[str] = set()
    idle = []
    for mixed in samples:
        found = _reached(mixed)
        reached |= found
        if not found.intersection(parts):
            idle.append(mixed.name)
    if unused := [part for part in parts if part not in reached]:
        what = "mention no region" if unused[0] == "regions" else "have no image"
        raise DataError(
            f"the samples {what}: nothing reaches {unused[0]!r}, which stage {plan.name!r} trains.",
            obj=samples[0].name,
            hint="Add such samples to the mix, or name another stage.",
        )
    if idle:
        raise DataError(
            f"{len(idle)} of {len(samples)} samples teach nothing in stage {plan.name!r}: they do not reach "
            f"what it trains ({', '.join(parts)}).",
            obj=idle[0],
            hint="Leave them out of the mix, or name another stage.",
        )


def prepare_parts(model: RegionMLLM, settings: TuneSettings) -> None:
    """Hold weights as they learn best, and have blocks computed again if that is asked for; changed in place.

    What learns is float32, as are its moments. What does not is float32 as well, but for a model that is
    stored in bfloat16 and runs on a GPU, where bfloat16 is the type of its products anyway.

    Args:
        model: After ``begin_stage``.
        settings: Of the run.
    """
    rounded = torch.cuda.is_available() and settings.bfloat16 is not False
    for parameter in model.parameters():
        if parameter.requires_grad or not (rounded and parameter.dtype == torch.bfloat16):
            parameter.data = parameter.data.float()
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.float()
    if settings.gradient_checkpointing:
        model.language.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )


def _reached(mixed: MixSample) -> set[str]:
    seen = set() if mixed.sample.file is None else {"vision", "projector"}
    shown = {"regions"} if any(turn.marks for turn in mixed.sample.turns) else set()
    return {LANGUAGE, *seen, *shown}


def describe_parts(model: RegionMLLM) -> str:
    """Say how much of which part learns, after ``begin_stage``."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = "adapters" if ".lora_" in name else name.split(".")[0]
            counts[part] = counts.get(part, 0) + parameter.numel()
    whole = sum(parameter.numel() for parameter in model.parameters())
    parts = ", ".join(f"{part} {count:,}" for part, count in counts.items())
    return f"{sum(counts.values()):,} of {whole:,} parameters learn ({parts})"
