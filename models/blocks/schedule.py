"""Learning rates as pure functions of the step: a resumed run needs no scheduler state."""

import math
from typing import Literal


def one_cycle(step: int, num_steps: int, *, peak: float, warmup_fraction: float) -> float:
    """Rise linearly to the peak, then fall along a half cosine to a hundredth of it.

    Args:
        step: Number of steps already taken, in [0, num_steps).
        num_steps: Length of the run.
        peak: Largest learning rate.
        warmup_fraction: Share of the run that rises, in [0, 1).

    Returns:
        The learning rate of this step.

    Example:
        >>> [round(one_cycle(step, 10, peak=1.0, warmup_fraction=0.2), 3) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.505, 0.048]
    """
    warmup = max(1, round(num_steps * warmup_fraction))
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))


def warmed_up(
    step: int, num_steps: int, *, warmup_ratio: float, then: Literal["cosine", "constant"]
) -> float:
    """Rise linearly to 1 over the first steps, none idle; then stay, or fall along a half cosine to 0.

    Args:
        step: Number of steps already taken, in [0, num_steps).
        num_steps: Length of the run.
        warmup_ratio: Share of the run that rises, rounded up to whole steps, in [0, 1).
        then: What follows.

    Returns:
        The share of its peak that a learning rate has in this step.

    Example:
        >>> [round(warmed_up(step, 8, warmup_ratio=0.25, then="cosine"), 3) for step in (0, 1, 2, 5, 7)]
        [0.5, 1.0, 1.0, 0.5, 0.067]
    """
    warmup = math.ceil(num_steps * warmup_ratio)
    if step < warmup:
        return (step + 1) / warmup
    if then == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (num_steps - warmup)))
