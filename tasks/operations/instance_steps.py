"""What one process computes of a step: its micro-batches, drawn from the step's number alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from models.blocks.accumulation import Part, Workers
from models.blocks.loop import Losses
from models.segmentation.instance_hub import InstanceSegmenter, memory_layout
from models.segmentation.loss_counts import loss_counts
from models.segmentation.objective import TrainingBatch
from tasks.data.datasets import generator_of
from tasks.data.instance_batches import BatchPolicy, ImageStore, draw_places, plan_step
from tasks.operations.recipe_files import TrainingSettings

_STREAM = 1 << 32
"""Above it are the numbers that a network draws while it learns; the batches have the streams below."""


class PlacedBatch(NamedTuple):
    """A micro-batch and the place of its first image in the step."""

    batch: TrainingBatch
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One run: what learns, from what, for how long, where its checkpoints are."""

    model: InstanceSegmenter
    store: ImageStore
    settings: TrainingSettings
    steps: int
    """Optimizer steps after which the run ends; the schedule of the recipe may be longer."""
    checkpoints: Path
    """Directory that every process sees."""
    run_key: str
    """Identity of the run: its recipe and its data."""
    bfloat16: bool | None = None
    """None: where it pays."""

    def layout(self, device_type: str) -> torch.memory_format:
        """Return how weights and images lie in memory."""
        if self.settings.channels_last is None:
            return memory_layout(self.model.recipe, device_type)
        return torch.channels_last if self.settings.channels_last else torch.contiguous_format

    @property
    def policy(self) -> BatchPolicy:
        """How steps are drawn."""
        recipe = self.model.recipe
        return BatchPolicy(
            images=recipe.images,
            images_per_step=recipe.images_per_step,
            stride=self.model.largest_stride,
            seed=self.settings.seed,
        )


def parts_of_step(training: Training, workers: Workers, step: int) -> list[Part[PlacedBatch]]:
    """Draw the micro-batches of this process: an even share of the places of the step."""
    recipe, segmenter = training.model.recipe, training.model.segmenter
    plan = plan_step(training.store.records, training.policy, step)
    start, stop = (recipe.images_per_step * number // workers.count
                   for number in (workers.number, workers.number + 1))  # fmt: skip
    size = training.settings.micro_batch or stop - start
    parts = []
    for low in range(start, stop, size):
        places = range(low, min(low + size, stop))
        batch = draw_places(training.store, plan, recipe.images, places)
        counts = loss_counts(segmenter, batch, recipe.supervision)
        parts.append(Part(batch=PlacedBatch(batch, low), counts=counts, places=places))
    return parts


def losses_of_part(training: Training, placed: PlacedBatch, step: int, device: torch.device) -> Losses:
    """Compute losses; what the network draws follows from (seed, step, place) alone."""
    image, boxes, categories, image_ids = placed.batch
    batch = TrainingBatch(
        image_BCHW=image.to(device, memory_format=training.layout(device.type), non_blocking=True),
        boxes=tuple(part.to(device) for part in boxes),
        categories=tuple(part.to(device) for part in categories),
        image_ids=image_ids,
    )
    generator = generator_of(training.settings.seed, step, _STREAM + placed.first)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(generator.initial_seed())
        recipe = training.model.recipe
        return training.model.segmenter.losses(batch, recipe.supervision, step=step)


@contextmanager
def drawn_ahead(
    draw: Callable[[int], list[Part[PlacedBatch]]], steps: range
) -> Iterator[Callable[[int], list[Part[PlacedBatch]]]]:
    """Draw the next step in a thread while one is computed."""
    waiting: dict[int, Future[list[Part[PlacedBatch]]]] = {}
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:

        def take(step: int) -> list[Part[PlacedBatch]]:
            for wanted in (step, step + 1):
                if wanted in steps and wanted not in waiting:
                    waiting[wanted] = pool.submit(draw, wanted)
            return waiting.pop(step).result()

        yield take
