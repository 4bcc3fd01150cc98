"""Numbers of two evaluations -> the rows of the comparison's tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation import bootstrap
from evaluation.confusion import Confusion
from evaluation.weighted import by_category
from tasks.report.comparison_sources import ComparisonSources
from tasks.report.tables import full_label

_GROUPS = (("mask.", "Masks"), ("box.", "Boxes"), ("", "Counts"))
_FEWEST = 2  # images: one image drawn anew is itself
MOST_CATEGORIES = 12
"""A matrix of more categories is not read any more; its largest cells are listed."""
MOST_CELLS = 15
CLASS_METRICS = ("mask.ap50", "mask.recall50")
OPEN_CLASSES = 10
"""Largest losses and largest gains that stand open; of more categories the rest is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A minus B."""

    value: float
    interval: tuple[float, float] | None
    """None where the images do not carry one."""
    tone: str
    """``up`` for better, ``down`` for worse, ``quiet`` where zero lies in the interval or none exists."""

    @property
    def word(self) -> str:
        """Say what the tone says, for those who do not see colours."""
        return {"up": "better", "down": "worse"}.get(self.tone, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLine:
    """One metric of both models; a value that is undefined is None."""

    name: str
    label: str
    note: str
    unit: str
    candidate: float | None
    champion: float | None
    difference: Difference | None
    count: int | None

    @property
    def digits(self) -> int:
        """Say how many digits after the point are worth reading."""
        return 3 if self.unit == "fraction" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSection:
    """Lines under one heading."""

    name: str
    lines: tuple[MetricLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLine:
    """One category of both models."""

    name: str
    regions: int
    values: tuple[tuple[float, float], ...]
    """A and B, for each of ``CLASS_METRICS``."""

    @property
    def difference(self) -> float:
        """A minus B of the first metric."""
        return self.values[0][0] - self.values[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One true category, or background."""

    name: str | None
    cells: tuple[tuple[int, float, str], ...]
    """Count, its share in [0, 1] and ``right``, ``wrong`` or ``void``.

    The share is that of the regions of the row; of false alarms, that of the detections of the column.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLine:
    """One cell of both matrices."""

    true: str | None
    predicted: str | None
    candidate: int
    champion: int


def metric_sections(sources: ComparisonSources) -> list[MetricSection]:
    """Build the metric table, in the order of the definition."""
    definition = sources.candidate.metrics["definition"]["metrics"]
    mine, theirs = sources.candidate.values, sources.champion.values
    counts = {entry["name"]: entry["count"] for entry in sources.candidate.metrics["metrics"]}
    names = [spec["name"] for spec in definition if spec["name"] in mine or spec["name"] in theirs]
    intervals = _intervals(sources, [name for name in names if name in mine and name in theirs])
    found: dict[str, list[MetricLine]] = {title: [] for _, title in _GROUPS}
    for spec in definition:
        name = spec["name"]
        if name not in names:
            continue
        title = next(title for prefix, title in _GROUPS if name.startswith(prefix))
        found[title].append(
            MetricLine(
                name=name,
                label=full_label(name.rpartition(".")[2]),
                note=spec["meaning"].replace("**2", "²"),
                unit=spec["unit"],
                candidate=mine.get(name),
                champion=theirs.get(name),
                difference=_difference(
                    mine.get(name), theirs.get(name), intervals.get(name), rises=spec["higher_is_better"]
                ),
                count=counts.get(name),
            )
        )
    return [MetricSection(name=title, lines=tuple(lines)) for title, lines in found.items() if lines]


def reach_of(sections: Sequence[MetricSection]) -> float:
    """Return the half width that holds the drawn differences of all fractions."""
    ends = [
        abs(end)
        for section in sections
        for line in section.lines
        if line.unit == "fraction" and line.difference is not None and line.difference.interval is not None
        for end in line.difference.interval
    ]
    return 1.05 * max(ends, default=0.0) or 1.0


def class_lines(sources: ComparisonSources) -> list[ClassLine]:
    """Build the table of categories that have regions: the largest loss first, then by name."""
    values = [[by_category(model.tables, metric) for model in sources.sides] for metric in CLASS_METRICS]
    lines = [
        ClassLine(
            name=name,
            regions=int(sources.candidate.tables.regions_of(name).sum()),
            values=tuple((mine[name], theirs[name]) for mine, theirs in values),
        )
        for name in values[0][0]
    ]
    return sorted(lines, key=lambda line: (line.difference, line.name))


def matrix_rows(confusion: Confusion) -> list[MatrixRow]:
    """Lay a small matrix out, true categories as rows, background last."""
    rows, last = [], len(confusion.categories)
    for row, name in enumerate((*confusion.categories, None)):
        cells = []
        for column in range(last + 1):
            count = int(confusion.counts[row, column])
            total = int(confusion.counts[:, column].sum() if name is None else confusion.counts[row].sum())
            kind = "void" if row == column == last else "right" if row == column else "wrong"
            cells.append((count, count / total if total else 0.0, kind))
        rows.append(MatrixRow(name=name, cells=tuple(cells)))
    return rows


def pair_lines(candidate: Confusion, champion: Confusion, *, background: bool) -> list[PairLine]:
    """List the largest cells off the diagonals of both matrices, largest first, at most ``MOST_CELLS``.

    Args:
        candidate: Of model A.
        champion: Of model B.
        background: Whether misses and false alarms are listed, or what was taken for another category.
    """
    pairs: dict[tuple[str | None, str | None], list[int]] = {}
    for side, confusion in enumerate((candidate, champion)):
        for cell in confusion.errors():
            if (cell.true is None or cell.predicted is None) is background:
                pairs.setdefault((cell.true, cell.predicted), [0, 0])[side] = cell.count
    ordered = sorted(pairs.items(), key=lambda item: (-max(item[1]), -sum(item[1]), _order(item[0])))
    return [
        PairLine(true=true, predicted=predicted, candidate=mine, champion=theirs)
        for (true, predicted), (mine, theirs) in ordered[:MOST_CELLS]
    ]


def tally(sections: Sequence[MetricSection]) -> tuple[int, int, int]:
    """Count the intervals in which A is better, worse, or not to be told apart from B."""
    tones = [
        line.difference.tone
        for section in sections
        for line in section.lines
        if line.difference is not None and line.difference.interval is not None
    ]
    return tones.count("up"), tones.count("down"), tones.count("quiet")


def _order(pair: tuple[str | None, str | None]) -> tuple[bool, str, bool, str]:
    """Sort by name, background last."""
    true, predicted = pair
    return true is None, true or "", predicted is None, predicted or ""


def _intervals(sources: ComparisonSources, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Resample every metric that the tables hold enough for; one without an answer is absent."""
    rule, mine, theirs = sources.rule, sources.candidate.tables, sources.champion.tables
    if len(mine.per_image) < _FEWEST:
        return {}
    weights = bootstrap.draw_weights(len(mine.per_image), resamples=rule.resamples, seed=rule.seed)
    found = {}
    for name in names:
        if not bootstrap.supports(name):
            continue
        try:
            interval = bootstrap.difference(mine, theirs, name, weights, alpha=rule.alpha, method=rule.method)
        except ValueError:  # a resample without a region, or BCa without an answer: no interval is honest
            continue
        found[name] = (interval.low, interval.high)
    return found


def _difference(
    mine: float | None, theirs: float | None, interval: tuple[float, float] | None, *, rises: bool
) -> Difference | None:
    if mine is None or theirs is None:
        return None
    tone = "quiet"
    if interval is not None and (interval[0] > 0 or interval[1] < 0):
        tone = "up" if (interval[0] > 0) is rises else "down"
    return Difference(value=mine - theirs, interval=interval, tone=tone)
