"""What one process computes of a step: its micro-batches, drawn from the step's number alone.

A lesson says what is learned from what: ``instance_lesson`` teaches masks from boxes, ``semantic_lesson``
classes of pixels from few labelled ones, ``region_lesson`` answers about images and their regions. Its
``Learning`` says how. Steps, processes and files do not know which.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import nn

from models.blocks.accumulation import Count, Part, Workers
from models.blocks.loop import Losses
from tasks.data.datasets import generator_of
from tasks.operations.recipe_files import TrainingSettings

_STREAM = 1 << 32
"""Above it are the numbers that a network draws while it learns; the batches have the streams below."""

Batch = TypeVar("Batch")


class Words(NamedTuple):
    """How a lesson speaks of itself."""

    sample: str
    """What stands at a place of a step, such as ``image``."""
    per_step: str
    """Name of the setting that says how many."""
    rate: str
    """Name of the setting of the learning rate."""


class Learning(Protocol):
    """How a network learns."""

    @property
    def words(self) -> Words:
        """What people call its settings."""

    @property
    def samples_per_step(self) -> int:
        """Over all processes."""

    @property
    def gradient_norm(self) -> float | None:
        """Longer gradients are shortened to this; None: never."""

    def optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer of the network, which is on its device."""

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> float:
        """Set the learning rates of a step, and return the one that is reported."""

    def layout(self, device_type: str) -> torch.memory_format:
        """Return how weights and images lie in memory where nothing else is asked for."""

    def in_bfloat16(self, *, enabled: bool, device_type: str) -> AbstractContextManager[None]:
        """Run what may be rounded in bfloat16 until the block ends."""


class Lesson(Protocol[Batch]):
    """A network, what it learns from, and how."""

    @property
    def network(self) -> nn.Module:
        """What learns."""

    @property
    def learning(self) -> Learning:
        """Says how."""

    def names(self, step: int) -> tuple[int | str, ...]:
        """Name the sample at every place of a step."""

    def amounts(self, step: int) -> Mapping[str, int]:
        """Say how much a step holds, for the history; ``positions`` are counted as tokens a second."""

    def draw(self, step: int, places: range) -> tuple[Batch, Mapping[str, Count]]:
        """Make the batch of some places of a step, and say what each of its losses is a mean of.

        Raises:
            DataError: If an image is missing or damaged.
        """

    def losses(self, batch: Batch, step: int, device: torch.device, layout: torch.memory_format) -> Losses:
        """Compute the weighted losses of a batch on a device, with images in this layout."""


class PlacedBatch(NamedTuple, Generic[Batch]):
    """A micro-batch and the place of its first sample in the step."""

    batch: Batch
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Generic[Batch]):
    """One run: what learns, from what, for how long, where its checkpoints are."""

    lesson: Lesson[Batch]
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
            return self.lesson.learning.layout(device_type)
        return torch.channels_last if self.settings.channels_last else torch.contiguous_format


def parts_of_step(training: Training[Batch], workers: Workers, step: int) -> list[Part[PlacedBatch[Batch]]]:
    """Draw the micro-batches of this process: an even share of the places of the step."""
    samples = training.lesson.learning.samples_per_step
    start, stop = (samples * number // workers.count for number in (workers.number, workers.number + 1))
    size = training.settings.micro_batch or stop - start
    parts = []
    for low in range(start, stop, size):
        places = range(low, min(low + size, stop))
        batch, counts = training.lesson.draw(step, places)
        parts.append(Part(batch=PlacedBatch(batch, low), counts=counts, places=places))
    return parts


def losses_of_part(
    training: Training[Batch], placed: PlacedBatch[Batch], step: int, device: torch.device
) -> Losses:
    """Compute losses; what the network draws follows from (seed, step, place) alone."""
    generator = generator_of(training.settings.seed, step, _STREAM + placed.first)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(generator.initial_seed())
        return training.lesson.losses(placed.batch, step, device, training.layout(device.type))


@contextmanager
def drawn_ahead(
    draw: Callable[[int], list[Part[PlacedBatch[Batch]]]], steps: range
) -> Iterator[Callable[[int], list[Part[PlacedBatch[Batch]]]]]:
    """Draw the next step in a thread while one is computed."""
    waiting: dict[int, Future[list[Part[PlacedBatch[Batch]]]]] = {}
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:

        def take(step: int) -> list[Part[PlacedBatch[Batch]]]:
            for wanted in (step, step + 1):
                if wanted in steps and wanted not in waiting:
                    waiting[wanted] = pool.submit(draw, wanted)
            return waiting.pop(step).result()

        yield take
