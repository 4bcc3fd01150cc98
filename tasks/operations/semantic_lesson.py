"""Classes of pixels from few labelled ones, as a lesson: what stands at each place, and its losses."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from models.blocks.accumulation import Count
from models.blocks.loop import Losses
from models.segmentation.deeplab import DeepLabV3Plus
from models.segmentation.semantic_hub import SemanticSegmenter
from models.segmentation.semantic_objective import SemanticBatch, semantic_counts, semantic_losses
from models.segmentation.semantic_recipes import SemanticRecipe
from tasks.data.semantic_batches import SemanticStore, draw_semantic_places, images_of_step
from tasks.operations.segmenter_learning import SegmenterLearning


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticLesson:
    """A ``Lesson`` of ``training_steps``."""

    model: SemanticSegmenter
    store: SemanticStore
    seed: int

    @property
    def network(self) -> DeepLabV3Plus:
        """What learns."""
        return self.model.segmenter

    @property
    def recipe(self) -> SemanticRecipe:
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

    def names(self, step: int) -> tuple[str, ...]:
        """Return the file of the image at every place of a step."""
        images = images_of_step(
            self.store, images_per_step=self.recipe.images_per_step, seed=self.seed, step=step
        )
        return tuple(self.store.records[image].image for image in images)

    def amounts(self, step: int) -> Mapping[str, int]:
        """Return nothing: steps are counted in images, which are always as many."""
        return {}

    def draw(self, step: int, places: range) -> tuple[SemanticBatch, Mapping[str, Count]]:
        """Make the batch of some places of a step."""
        batch = draw_semantic_places(
            self.store,
            self.recipe.crops,
            seed=self.seed,
            images_per_step=self.recipe.images_per_step,
            step=step,
            places=places,
        )
        return batch, semantic_counts(batch, self.recipe.supervision)

    def losses(
        self, batch: SemanticBatch, step: int, device: torch.device, layout: torch.memory_format
    ) -> Losses:
        """Compute the losses of the recipe."""
        placed = SemanticBatch(
            image_BCHW=batch.image_BCHW.to(device, memory_format=layout, non_blocking=True),
            label_BHW=batch.label_BHW.to(device, non_blocking=True),
        )
        return semantic_losses(self.network, placed, self.recipe.supervision, step=step)
