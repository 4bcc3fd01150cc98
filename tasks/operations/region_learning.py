"""How a model that sees regions learns in one stage, for the common trainer."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from models.blocks.mixed_precision import parts_in_bfloat16
from models.blocks.schedule import warmed_up
from models.region_lm.hub import RegionMLLM
from models.region_lm.trainable import StagePlan, parameter_groups
from tasks.operations.training_steps import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLearning:
    """A ``Learning`` of ``training_steps``."""

    model: RegionMLLM
    """After ``begin_stage``."""
    plan: StagePlan
    place: int
    """Of the stage in its recipe, from 0."""
    steps: int
    """Of the schedule."""
    gradient_norm: float | None

    @property
    def words(self) -> Words:
        """What recipes call their settings."""
        section = f"stages.{self.place}"
        rate = "train.0.learning_rate" if self.plan.train else "lora.learning_rate"
        return Words("sample", f"{section}.global_batch", f"{section}.{rate}")

    @property
    def samples_per_step(self) -> int:
        """Over all processes."""
        return self.plan.global_batch

    def optimizer(self) -> torch.optim.Optimizer:
        """Build AdamW, with a group for every rate of the stage."""
        groups = parameter_groups(self.model, self.plan)
        return torch.optim.AdamW([{**group, "peak": group["lr"]} for group in groups])

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> float:
        """Set the rates of a step, and return the highest."""
        share = warmed_up(step, self.steps, warmup_ratio=self.plan.warmup_ratio, then=self.plan.schedule)
        for group in optimizer.param_groups:
            group["lr"] = share * group["peak"]
        return max(float(group["lr"]) for group in optimizer.param_groups)

    def layout(self, device_type: str) -> torch.memory_format:
        """Return how weights and images lie in memory."""
        return torch.contiguous_format

    def in_bfloat16(self, *, enabled: bool, device_type: str) -> AbstractContextManager[None]:
        """Round every part; the loss is computed from float32."""
        parts = [part for part in self.model.children() if part is not None]
        return parts_in_bfloat16(parts, device_type=device_type) if enabled else nullcontext()
