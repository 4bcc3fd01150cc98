"""What a score is asked of, and what evaluation said: shared by all kinds of ``tasks.operations.scoring``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from evaluation.definition import Definition
from evaluation.intervals import Interval
from evaluation.metric import Metric
from evaluation.pope import Setting
from evaluation.questions import Measure
from evaluation.tags import Empty
from tasks.data.semantic_png import IGNORE

RESAMPLES: Final = 2000
ALPHA: Final = 0.05
SEED: Final = 0
"""Of the intervals over images."""

Kind = Literal["panoptic", "semantic", "pope", "vqa", "tags", "reasonseg", "regions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """Files to compare. What a kind does not ask for stays None."""

    kind: Kind
    truth: Path
    predictions: Path
    truth_maps: Path | None = None
    """panoptic: folder of PNG files; None: the name of the document without its ending."""
    predicted_maps: Path | None = None
    """The same of the predictions."""
    classes: Path | None = None
    """semantic: which number is which class."""
    ignore_label: int = IGNORE
    """semantic: label of pixels that do not count."""
    setting: Setting | None = None
    """pope: of the files, if their names do not tell."""
    questions: Path | None = None
    """vqa: the document of questions."""
    measure: Measure = "vqa_accuracy"
    """vqa: which definition of right."""
    unseen: Path | None = None
    """tags: labels that the model was not trained on, one a line."""
    empty: Empty = "zero"
    """tags: what a label without a positive contributes to the mean."""
    top: tuple[int, ...] = (3, 5)
    """tags: numbers of labels that an image is given for precision, recall and F1."""
    split: str = "val"
    """reasonseg: name of the split."""
    embedder: Path | None = None
    """regions: directory of a sentence encoder; None: no semantic similarity."""
    meteor: bool = False
    """regions: whether sentences are scored by METEOR, which needs Java."""
    images: Path | None = None
    """regions: folder of the images, for a page; None: no page."""

    @property
    def inputs(self) -> dict[str, Path]:
        """Return every file and folder that a score depends on."""
        paths = {"truth": self.truth, "predictions": self.predictions}
        if self.kind == "panoptic":
            paths |= {"truth_maps": self.maps_of("truth"), "predicted_maps": self.maps_of("predicted")}
        named = {"classes": self.classes, "questions": self.questions, "unseen": self.unseen}
        named |= {"embedder": self.embedder}
        return paths | {name: path for name, path in named.items() if path is not None}

    def maps_of(self, side: Literal["truth", "predicted"]) -> Path:
        """Return the folder of the PNG files of one side."""
        if side == "truth":
            return self.truth_maps or self.truth.with_suffix("")
        return self.predicted_maps or self.predictions.with_suffix("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The numbers of a part of the data."""

    name: str
    metrics: tuple[Metric, ...]
    undefined: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Write metrics and reasons as ``metrics.json`` does."""
        return {"metrics": [metric.to_json() for metric in self.metrics], "undefined": dict(self.undefined)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """What evaluation said."""

    definition: Definition
    whole: Part
    parts: tuple[Part, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Name of a metric -> where it lies when images are drawn anew; of kinds that can be recomputed."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else the document says; JSON values."""
    page: str | None = None
    """HTML that shows the answers; None: there is none."""
