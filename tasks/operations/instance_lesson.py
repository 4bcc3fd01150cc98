"""Masks of instances from boxes, as a lesson: what stands at each place of a step, and its losses."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from models.blocks.accumulation import Count
from models.blocks.loop import Losses
from models.segmentation.instance_hub import InstanceSegmenter
from models.segmentation.instance_models import CondInstSegmenter, QuerySegmenter, SoloSegmenter
from models.segmentation.loss_counts import loss_counts
from models.segmentation.objective import TrainingBatch
from models.segmentation.recipes import InstanceRecipe
from tasks.data.instance_batches import BatchPolicy, ImageStore, draw_places, plan_step
from tasks.operations.segmenter_learning import SegmenterLearning


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceLesson:
    """A ``Lesson`` of ``training_steps``."""

    model: InstanceSegmenter
    store: ImageStore
    seed: int

    @property
    def network(self) -> CondInstSegmenter | SoloSegmenter | QuerySegmenter:
        """What learns."""
        return self.model.segmenter

    @property
    def recipe(self) -> InstanceRecipe:
        """Says how."""
        return self.model.recipe

    @property
    def num_images(self) -> int:
        """Images of the split."""
        return len(self.store)

    @property
    def learning(self) -> SegmenterLearning:
        """Says how, to the common trainer."""
        return SegmenterLearning(network=self.network, recipe=self.recipe, num_images=self.num_images)

    @property
    def policy(self) -> BatchPolicy:
        """How steps are drawn."""
        return BatchPolicy(
            images=self.recipe.images,
            images_per_step=self.recipe.images_per_step,
            stride=self.model.largest_stride,
            seed=self.seed,
        )

    def names(self, step: int) -> tuple[int, ...]:
        """Return the image id at every place of a step."""
        return plan_step(self.store.records, self.policy, step).image_ids

    def amounts(self, step: int) -> Mapping[str, int]:
        """Return nothing: steps are counted in images, which are always as many."""
        return {}

    def draw(self, step: int, places: range) -> tuple[TrainingBatch, Mapping[str, Count]]:
        """Make the batch of some places of a step."""
        plan = plan_step(self.store.records, self.policy, step)
        batch = draw_places(self.store, plan, self.recipe.images, places)
        return batch, loss_counts(self.network, batch, self.recipe.supervision)

    def losses(
        self, batch: TrainingBatch, step: int, device: torch.device, layout: torch.memory_format
    ) -> Losses:
        """Compute the losses of the recipe."""
        placed = TrainingBatch(
            image_BCHW=batch.image_BCHW.to(device, memory_format=layout, non_blocking=True),
            boxes=tuple(part.to(device) for part in batch.boxes),
            categories=tuple(part.to(device) for part in batch.categories),
            image_ids=batch.image_ids,
        )
        return self.network.losses(placed, self.recipe.supervision, step=step)
