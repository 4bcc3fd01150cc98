"""What a model did with referring expressions, and its metrics under weights of the images.

An expression has the weight of its image: expressions of one image are not independent of each other.

Shape suffixes:
    B = rows of weights   I = images   N = expressions
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation import ref_boxes, ref_masks
from evaluation.definition import Definition
from evaluation.ref_boxes import REF_BOXES
from evaluation.ref_expressions import Ratio
from evaluation.ref_masks import REF_MASKS

FloatArray = npt.NDArray[np.float64]

_RATIOS: dict[str, Callable[[pd.DataFrame], dict[str, Ratio]]] = {
    REF_BOXES.name: ref_boxes.ratios,
    REF_MASKS.name: ref_masks.ratios,
}
EXPRESSION_METRICS: Final = frozenset(
    spec.name for definition in (REF_BOXES, REF_MASKS) for spec in definition.metrics
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expressions:
    """What one model did, expression by expression."""

    definition: Definition
    """``REF_BOXES`` or ``REF_MASKS``."""
    per_expression: pd.DataFrame
    """As ``evaluate_boxes`` or ``evaluate_masks`` gives it; of one split."""

    def __post_init__(self) -> None:
        """Refuse a definition that is not about expressions.

        Raises:
            ValueError: With its name.
        """
        if self.definition.name not in _RATIOS:
            raise ValueError(f"definition must be one of {list(_RATIOS)}, got {self.definition.name!r}.")

    def problems(self) -> list[str]:
        """Name what keeps the table from being used; an empty list means that metrics can be recomputed."""
        table = self.per_expression
        if not table.columns.is_unique:
            return ["per_expression has two columns of one name"]
        for name in ("expression_id", "image_id"):
            if name not in table:
                return [f"per_expression has no column {name!r}"]
            if getattr(table[name].dtype, "kind", "") != "i" or table[name].isna().any():
                return [f"per_expression has a column {name!r} of type {table[name].dtype}"]
        if not len(table):
            return ["per_expression has no row"]
        try:
            ratios = _RATIOS[self.definition.name](table)
        except (KeyError, TypeError, ValueError) as error:
            return [f"per_expression cannot be read ({type(error).__name__}: {error})"]
        found = [] if table["expression_id"].is_unique else ["per_expression names an expression twice"]
        for name, ratio in ratios.items():
            if not _is_share(ratio):
                found.append(
                    f"{name} has expressions that are no share: not from 0 to the whole, or no number"
                )
        return found

    @property
    def image_ids(self) -> npt.NDArray[np.int64]:
        """Return the images by rising id, shape (I,)."""
        return np.unique(self.per_expression["image_id"].to_numpy(np.int64))


def _is_share(ratio: Ratio) -> bool:
    """Say whether every part lies from 0 to a finite whole; written so that NaN says no."""
    part_N, whole_N = ratio.numerator_N, ratio.denominator_N
    return bool(((part_N >= 0) & (part_N <= whole_N) & (whole_N < np.inf)).all())


def by_image(expressions: Expressions, metric: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what a metric divides, by what, and how many expressions it is over; each of shape (I,)."""
    table = expressions.per_expression
    ratio = _RATIOS[expressions.definition.name](table)[metric]
    ids_I = expressions.image_ids
    image_N = np.searchsorted(ids_I, table["image_id"].to_numpy(np.int64))
    columns = (ratio.numerator_N, ratio.denominator_N, (ratio.denominator_N > 0).astype(np.float64))
    over_I, under_I, count_I = (
        np.bincount(image_N, weights=column_N, minlength=len(ids_I)).astype(np.float64)
        for column_N in columns
    )
    return over_I, under_I, count_I


def expressions_under(expressions: Expressions, metric: str, weight_BI: FloatArray) -> FloatArray:
    """Return a metric for each row of weights of the images, shape (B,).

    Args:
        expressions: Without problems.
        metric: Of the definition of the expressions.
        weight_BI: Of at least 0, shape (B, I).

    Raises:
        ValueError: If a row holds nothing to divide by.
    """
    over_I, under_I, _ = by_image(expressions, metric)
    under_B = weight_BI @ under_I
    if not under_B.all():
        raise ValueError(f"{int((under_B == 0).sum())} of {len(under_B)} resamples hold nothing to score.")
    ratio_B: FloatArray = weight_BI @ over_I / under_B
    return ratio_B
