"""Learning rates as pure functions of the step: a resumed run needs no scheduler state."""

import math


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
