"""Numbers of an evaluation beside the names that have none: a metric is a number or a reason, never NaN."""

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.definition import Definition
from evaluation.metric import Metric

Found = tuple[float, int] | str
"""A value and how many items it was computed over, or the reason why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Every name of one definition, once: with a number or with a reason."""

    definition_sha256: str
    metrics: tuple[Metric, ...]
    undefined: dict[str, str]
    """Name of a metric that has no value -> why."""

    def __getitem__(self, name: str) -> float:
        """Return the value of a metric.

        Raises:
            ValueError: If the metric has no value, with the reason, or the definition has no such name.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric.value
        reason = self.undefined.get(name, "the definition has no such metric")
        raise ValueError(f"{name} has no value: {reason}.")


def values_of(definition: Definition, found: Mapping[str, Found]) -> Values:
    """Give every number the unit and direction of its definition.

    Args:
        definition: What the names mean.
        found: For each name of the definition, a value with its count, or a reason.

    Returns:
        The metrics in the order of the definition, and the names without a value.

    Raises:
        ValueError: If a name is missing or unknown, or a value lies outside the range of its definition.
    """
    names = [spec.name for spec in definition.metrics]
    if set(found) != set(names):
        raise ValueError(
            f"{definition.name}: names differ from the definition: {sorted(set(found) ^ set(names))}."
        )
    metrics, undefined = [], {}
    for spec in definition.metrics:
        item = found[spec.name]
        if isinstance(item, str):
            undefined[spec.name] = item
            continue
        value, count = item
        if not spec.accepts(value):
            raise ValueError(f"{spec.name} must lie in [0, {spec.highest}], got {value}.")
        metrics.append(
            Metric(
                name=spec.name,
                value=float(value),
                unit=spec.unit,
                higher_is_better=spec.higher_is_better,
                count=count,
            )
        )
    return Values(definition_sha256=definition.sha256, metrics=tuple(metrics), undefined=undefined)
