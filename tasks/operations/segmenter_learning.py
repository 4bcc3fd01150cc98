"""How a segmenter learns: what its recipe says, for the common trainer."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from models.segmentation.instance_hub import memory_layout
from models.segmentation.learning import Recipe, build_optimizer, schedule_steps, set_rate
from models.segmentation.mixed_precision import Segmenter, in_bfloat16
from tasks.operations.training_steps import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterLearning:
    """A ``Learning`` of ``training_steps``."""

    network: Segmenter
    recipe: Recipe
    num_images: int
    """Images of the split."""

    @property
    def words(self) -> Words:
        """What recipes call their settings."""
        return Words("image", "images_per_step", "optimizer.learning_rate")

    @property
    def samples_per_step(self) -> int:
        """Images over all processes."""
        return self.recipe.images_per_step

    @property
    def gradient_norm(self) -> float | None:
        """Longer gradients are shortened to this."""
        return self.recipe.optimizer.gradient_norm

    def optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer of the recipe."""
        return build_optimizer(self.network, self.recipe)

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> float:
        """Set the rate of a step, and return that of all but the backbone."""
        _, per_unit = schedule_steps(self.recipe, self.num_images)
        peak = self.recipe.optimizer.learning_rate
        rate = self.recipe.schedule.rate(step, peak=peak, steps_per_unit=per_unit)
        set_rate(optimizer, rate)
        return rate

    def layout(self, device_type: str) -> torch.memory_format:
        """Return how weights and images lie in memory."""
        return memory_layout(self.recipe.norm, device_type)

    def in_bfloat16(self, *, enabled: bool, device_type: str) -> AbstractContextManager[None]:
        """Round backbone, pyramid and towers."""
        return in_bfloat16(self.network, enabled=enabled, device_type=device_type)
