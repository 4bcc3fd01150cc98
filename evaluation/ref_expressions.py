"""What the scores of referred boxes and of referred masks share: ids, splits, and metrics as ratios of sums.

A metric over expressions is the sum of one column over the sum of another. Kept as the two columns, it can be
had again under any weighting of the expressions, which is all that a bootstrap needs.

Shape suffixes:
    N = expressions   B = resamples
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.definition import Definition
from evaluation.metric import Metric

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ratio:
    """A metric as the sum of a column over the sum of another."""

    numerator_N: FloatArray
    denominator_N: FloatArray
    """At least 0; the metric is over the expressions where it is above 0."""
    undefined: str
    """Why there is no value where the denominators sum to 0."""

    def recompute(self, weight_BN: FloatArray) -> FloatArray:
        """Return the metric under weights of the expressions.

        Args:
            weight_BN: How often each expression counts in each resample, at least 0. Expressions of one image
                belong together: give them the weight of their image.

        Returns:
            Values of shape (B,), float64.

        Raises:
            ValueError: If a resample holds nothing to compute the metric over.

        Example:
            >>> ratio = Ratio(numerator_N=np.array([1.0, 0.0]), denominator_N=np.ones(2), undefined="")
            >>> ratio.recompute(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()
            [0.5, 1.0]
        """
        total_B = weight_BN @ self.denominator_N
        if not (total_B > 0).all():
            raise ValueError(f"{int((total_B <= 0).sum())} of {len(total_B)} resamples: {self.undefined}.")
        return np.asarray(weight_BN @ self.numerator_N / total_B)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitScores:
    """The numbers of one split."""

    name: str
    """``<split>``, or ``<split>/<subset>``."""
    metrics: tuple[Metric, ...]
    undefined: dict[str, str]
    """Name of a metric that has no value -> why."""

    def value(self, name: str) -> float:
        """Return the value of a metric.

        Raises:
            ValueError: If it has none, with the reason.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric.value
        raise ValueError(f"{name} of {self.name}: {self.undefined.get(name, 'unknown metric')}.")


def score_split(name: str, ratios: Mapping[str, Ratio], definition: Definition) -> SplitScores:
    """Turn the ratios of one split into metrics, in the order of the definition."""
    metrics, undefined = [], {}
    for spec in definition.metrics:
        ratio = ratios[spec.name]
        total = ratio.denominator_N.sum()
        if total <= 0:
            undefined[spec.name] = ratio.undefined
            continue
        metrics.append(
            Metric(
                name=spec.name,
                value=float(ratio.numerator_N.sum() / total),
                unit=spec.unit,
                higher_is_better=spec.higher_is_better,
                count=int(np.count_nonzero(ratio.denominator_N)),
            )
        )
    return SplitScores(name=name, metrics=tuple(metrics), undefined=undefined)


def check_ids(expression_ids: Sequence[int], predicted_ids: Iterable[int]) -> None:
    """Refuse what could be counted twice, or not at all.

    Raises:
        TypeError: If an id is not an integer.
        ValueError: If there is no expression, an id repeats, or a prediction belongs to no expression.
    """
    if not expression_ids:
        raise ValueError("no expression to score; a metric over nothing is refused.")
    seen: set[int] = set()
    for number in expression_ids:
        if type(number) is not int:
            raise TypeError(f"expression_id must be an int, got {number!r}.")
        if number in seen:
            raise ValueError(f"expression {number} appears a second time.")
        seen.add(number)
    unknown = [number for number in predicted_ids if number not in seen]
    if unknown:
        raise ValueError(f"{len(unknown)} predictions are of unknown expressions, first: {unknown[:10]}.")


def check_split(expression_id: int, split: str) -> None:
    """Refuse an expression that would belong to no split, and drop out of every number.

    Raises:
        ValueError: If the split is not text, or empty; names the expression.
    """
    if not isinstance(split, str) or not split:
        raise ValueError(f"expression {expression_id}: split must be text that is not empty, got {split!r}.")
