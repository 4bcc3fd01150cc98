"""How the parts are trained that systems start from: encoder and language model, each with its losses."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.blocks.loop import WeightAverage, train_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSettings:
    """Of the training of one part."""

    steps: int
    per_step: int
    """Images, or captions."""
    learning_rate: float
    """Peak; it rises in a line and falls as a cosine."""
    warmup: int
    """Steps in which it rises."""
    average: float
    """Decay of the running mean of the weights that is kept in the end; 0 keeps the last ones."""
    weight_decay: float = 0.01


def train_part(
    part: nn.Module, losses_of: Callable[[int], dict[str, Tensor]], settings: PartSettings
) -> dict[str, float]:
    """Train a part in place; returns what it cost."""
    start = time.process_time(), time.monotonic()
    average = WeightAverage(part, settings.average)
    optimizer = torch.optim.AdamW(part.parameters(), weight_decay=settings.weight_decay, betas=(0.9, 0.98))
    for _ in train_steps(
        part.train(),
        losses_of,
        optimizer,
        average,
        first_step=0,
        num_steps=settings.steps,
        learning_rate_of=lambda step: (
            settings.learning_rate * rise_and_fall(step, settings.steps, warmup=settings.warmup)
        ),
        gradient_norm=1.0,
    ):
        pass
    part.load_state_dict(average.weights)
    return {
        "wall_seconds": round(time.monotonic() - start[1], 1),
        "processor_seconds": round(time.process_time() - start[0], 1),
    }


def rise_and_fall(step: int, steps: int, *, warmup: int) -> float:
    """Return the share of the peak rate at a step, from 0: a line up, half a cosine down."""
    return min(1.0, (step + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
