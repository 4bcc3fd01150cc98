"""One number of an evaluation: its name, unit, direction and what it was computed over."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A finite number. What cannot be computed is no metric: it is named as undefined instead."""

    name: str
    """``<kind>.<quantity>``, e.g. ``mask.ap50``."""
    value: float
    unit: str
    """``fraction`` or ``detections per image``."""
    higher_is_better: bool
    count: int
    """How many regions, detections, pairs or images the value was computed over."""

    def __post_init__(self) -> None:
        """Refuse anything a reader could take for a result although it is none.

        Raises:
            TypeError: If the value is not a number; a bool is none.
            ValueError: If the value is not finite or the count negative.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise TypeError(f"{self.name} must be a number, got {self.value!r}.")
        if not math.isfinite(self.value):
            raise ValueError(f"{self.name} must be finite, got {self.value}.")
        if self.count < 0:
            raise ValueError(f"{self.name} must count at least 0 items, got {self.count}.")

    def to_json(self) -> dict[str, str | float | bool | int]:
        """Return the entry of ``metrics.json``."""
        return {
            "name": self.name,
            "value": float(self.value),
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "count": self.count,
        }
