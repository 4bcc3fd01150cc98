"""Region samples in batches: how long each is, which stand together in a step, and their pixels.

Which samples a step sees follows from the seed and the step's number alone: a resumed run repeats nothing,
and neither micro-batches nor processes change it.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from models.region_lm.batches import RegionBatch
from models.region_lm.lengths import LengthLimits, SampleLength, image_positions, sample_length
from models.region_lm.packing import group_by_length
from models.region_lm.processing import RegionProcessor
from tasks.data.datasets import generator_of
from tasks.data.images import read_size
from tasks.data.region_examples import load_example
from tasks.data.region_mix import MixSample
from tasks.data.region_prompts import to_utterances
from tasks.errors import DataError

_ORDER = 0
"""Stream of the draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What samples are measured with."""

    processor: RegionProcessor
    num_tokens: int
    """Of one canvas."""
    limits: LengthLimits
    leave_out: bool
    """Whether samples that do not fit are left out; otherwise the first one is an error."""


class LessonSamples(NamedTuple):
    """Samples of an epoch, with their lengths."""

    samples: tuple[MixSample, ...]
    lengths: tuple[SampleLength, ...]
    left_out: tuple[str, ...]
    """Names of those that do not fit."""


def measure_samples(samples: Sequence[MixSample], measure: Measure) -> LessonSamples:
    """Measure every sample, and refuse or leave out those that cannot be learned from.

    Raises:
        DataError: If a sample has no answer, shows regions to a model that sees none or more than it may see,
            or, unless those are left out, does not fit.
    """
    kept, lengths, left_out = [], [], []
    known: dict[int, SampleLength | None] = {}
    for mixed in samples:
        key = id(mixed.sample)
        if key not in known:
            _check(mixed, measure.processor)
            known[key] = _length(mixed, measure)
        length = known[key]
        if length is None:
            left_out.append(mixed.name)
        else:
            kept.append(mixed)
            lengths.append(length)
    return LessonSamples(tuple(kept), tuple(lengths), tuple(dict.fromkeys(left_out)))


def draw_samples(samples: Sequence[MixSample], processor: RegionProcessor, max_length: int) -> RegionBatch:
    """Read the images of samples, and make their batch.

    Raises:
        DataError: If an image or a mask cannot be used.
    """
    examples = []
    for mixed in samples:
        folder = mixed.images or Path()
        examples.append(load_example(mixed.sample, folder, shown=mixed.shown))
    try:
        return processor(examples, max_length=max_length)
    except (TypeError, ValueError) as error:
        names = ", ".join(mixed.name for mixed in samples)
        raise DataError(str(error), obj=names, hint="Correct the sample, or leave it out.") from error


class BatchOrder:
    """The batches of an endless sequence of epochs, each in an order of its own.

    Samples of a batch are about as long. Every sample stands in one batch of an epoch; the batch that is left
    over is filled up with others of the same epoch.

    Args:
        lengths: Positions of each sample.
        batch: Samples of a step, at most as many as there are.
        seed: Decides the order.

    Raises:
        ValueError: If there are fewer samples than a batch takes.
    """

    def __init__(self, lengths: Sequence[int], *, batch: int, seed: int) -> None:
        if not 1 <= batch <= len(lengths):
            raise ValueError(f"a batch of {batch} cannot be filled from {len(lengths)} samples.")
        self._lengths, self._batch, self._seed = tuple(lengths), batch, seed
        self._drawn: dict[int, list[list[int]]] = {}
        self._lock = threading.Lock()  # batches are drawn ahead in a thread

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._lengths) // self._batch)

    def places(self, step: int) -> list[int]:
        """Return the samples of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        with self._lock:
            if epoch not in self._drawn:
                self._drawn = {number: kept for number, kept in self._drawn.items() if number == epoch - 1}
                self._drawn[epoch] = self._draw(epoch)
            return self._drawn[epoch][place]

    def _draw(self, epoch: int) -> list[list[int]]:
        generator = generator_of(self._seed, epoch, _ORDER)
        batches = group_by_length(self._lengths, self._batch, generator)
        return [self._filled(places, generator) for places in batches]

    def _filled(self, places: list[int], generator: torch.Generator) -> list[int]:
        """Fill a batch up with samples that are not in it."""
        if len(places) == self._batch:
            return places
        there = set(places)
        others = torch.randperm(len(self._lengths), generator=generator).tolist()
        more = [place for place in others if place not in there][: self._batch - len(places)]
        return sorted([*places, *more], key=lambda place: -self._lengths[place])


def _check(mixed: MixSample, processor: RegionProcessor) -> None:
    """Refuse what no limit could change."""
    sample, regions = mixed.sample, processor.settings.regions
    if sample.turns[-1].role != "assistant":
        raise DataError(
            "ends with a question: there is no answer to learn.",
            obj=mixed.name,
            hint="Import files with answers, or leave the sample out.",
        )
    most = 0 if regions is None else regions.most
    if len(sample.regions) > most:
        raise DataError(
            f"has {len(sample.regions)} regions, this model sees {f'at most {most}' if most else 'none'}.",
            obj=mixed.name,
            hint="Choose a recipe that sees as many, or leave the sample out.",
        )


def _length(mixed: MixSample, measure: Measure) -> SampleLength | None:
    """Measure a sample; None where it is to be left out."""
    image = 0
    if mixed.image is not None:
        tiled = measure.processor.settings.images.kind == "tiles"
        size = mixed.sample.size or (read_size(mixed.image) if tiled else (1, 1))
        image = image_positions(measure.processor, size, measure.num_tokens)
    regions = None if mixed.sample.file is None else len(mixed.sample.regions)
    try:
        encoded, _ = measure.processor.encode(to_utterances(mixed.sample), num_regions=regions)
    except ValueError as error:
        raise DataError(str(error), obj=mixed.name, hint="Correct the sample, or leave it out.") from error
    try:
        return sample_length(measure.processor, encoded, image=image, limits=measure.limits)
    except ValueError as error:
        if measure.leave_out:
            return None
        raise DataError(
            str(error),
            obj=mixed.name,
            hint="Shorten it, raise max_length of the stage, or say `--set training.too_long=leave_out`.",
        ) from error
