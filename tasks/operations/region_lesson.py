"""Answers about images and their regions, as a lesson: what stands at each place of a step, and its loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from models.blocks.accumulation import Count
from models.blocks.loop import Losses
from models.region_lm.batches import RegionBatch
from models.region_lm.hub import RegionMLLM
from models.region_lm.packing import choose_packs, pack
from models.region_lm.packing_check import packing_fault
from models.region_lm.processing import RegionProcessor
from tasks.data.region_batches import BatchOrder, LessonSamples, draw_samples
from tasks.errors import UsageError
from tasks.operations.region_learning import RegionLearning


class DrawnSamples(NamedTuple):
    """A micro-batch."""

    batch: RegionBatch
    positions: tuple[int, ...]
    """Of each sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLesson:
    """A ``Lesson`` of ``training_steps``."""

    model: RegionMLLM
    processor: RegionProcessor
    data: LessonSamples
    order: BatchOrder
    learning: RegionLearning
    packing: bool
    """Whether rows hold several samples where that saves."""

    def __post_init__(self) -> None:
        """Refuse rows of several samples for a language model that does not keep them apart.

        Raises:
            UsageError: With the cause.
        """
        if self.packing and (fault := packing_fault(self.model)) is not None:
            raise UsageError(
                f"the language model ({self.model.language.config.model_type}) cannot read several samples "
                f"in a row: {fault}.",
                obj="training.packing",
                hint="Say `--set training.packing=false`: the step is the same, and takes longer.",
            )

    @property
    def network(self) -> RegionMLLM:
        """What learns."""
        return self.model

    def names(self, step: int) -> tuple[str, ...]:
        """Return dataset, split and id of the sample at every place of a step."""
        return tuple(self.data.samples[place].name for place in self.order.places(step))

    def amounts(self, step: int) -> dict[str, int]:
        """Return the tokens that a step learns, and the positions that it reads."""
        lengths = [self.data.lengths[place] for place in self.order.places(step)]
        return {
            "learned_tokens": sum(length.learned for length in lengths),
            "positions": sum(length.positions for length in lengths),
        }

    def draw(self, step: int, places: range) -> tuple[DrawnSamples, Mapping[str, Count]]:
        """Make the batch of some places of a step."""
        drawn = self.order.places(step)[places.start : places.stop]
        lengths = [self.data.lengths[place] for place in drawn]
        samples = [self.data.samples[place] for place in drawn]
        batch = draw_samples(samples, self.processor, self.learning.plan.max_length)
        count = Count(float(sum(length.learned for length in lengths)))
        return DrawnSamples(batch, tuple(length.positions for length in lengths)), {"text": count}

    def losses(
        self,
        batch: DrawnSamples,
        step: int,
        device: torch.device,
        layout: torch.memory_format,
    ) -> Losses:
        """Compute the cross-entropy of the answers, a mean over their tokens."""
        placed = batch.batch.to(device)
        spliced = self.model.insert(placed, self.model.see(placed))
        text = self.model.config.get_text_config()
        packs = None
        if self.packing:
            packs = choose_packs(
                batch.positions, longest=text.max_position_embeddings, width=text.hidden_size
            )
        if packs is None:
            found = self.model.read(spliced, logits="labels")
        else:
            found = self.model.read_packed(pack(spliced, packs), logits="labels")
        if found.loss is None:
            raise ValueError("a micro-batch has no label, although every sample was measured to have one.")
        return {"text": found.loss}
