"""Answers about regions as one HTML file: numbers, and images with their regions, questions and answers.

Everything that came from a file or a model is shown as text. Equal arguments give equal bytes.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from evaluation.intervals import Interval
from evaluation.metric import Metric
from evaluation.region_answers import REGION_ANSWERS, RegionAnswers
from evaluation.values import Values
from tasks.data.images import read_rgb
from tasks.data.records import ImageRecord
from tasks.data.region_questions import RegionQuestion
from tasks.data.region_records import SampleRegion
from tasks.errors import DataError
from tasks.report.charts import DASH
from tasks.report.outlines import Ring, path_data, trace
from tasks.report.photographs import Photograph, load_photograph
from tasks.report.rendering import render_page
from tasks.report.tables import Tile

SHOWN: Final = 24
"""Answers in each gallery."""
_TEXT: Final = 600  # characters of a text that a card shows
_TILES: Final = {
    "answers.exact_match": "In the expected words",
    "yes_no.accuracy": "Yes or no, accuracy",
    "region_text.semantic_iou": "Shared words",
    "region_text.semantic_similarity": "Semantic similarity",
    "caption.cider_d": "CIDEr-D",
}
_LABELS: Final = {
    "answers.exact_match": "Exact match",
    "answers.answered": "Answered",
    "yes_no.accuracy": "Yes or no: accuracy",
    "yes_no.precision": "Yes or no: precision",
    "yes_no.recall": "Yes or no: recall",
    "yes_no.f1": "Yes or no: F1",
    "yes_no.yes_ratio": "Yes or no: share of yes",
    "region_text.semantic_similarity": "Semantic similarity",
    "region_text.semantic_iou": "Semantic IoU",
    "caption.cider_d": "CIDEr-D",
    "caption.rouge_l": "ROUGE-L",
    "caption.meteor": "METEOR",
    **{f"caption.bleu_{n}": f"BLEU-{n}" for n in range(1, 5)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersPage:
    """What a page shows."""

    result: RegionAnswers
    questions: Sequence[RegionQuestion]
    """In the order of the result's table."""
    intervals: Mapping[str, Interval]
    parts: Mapping[str, Values]
    """Kind of question -> its numbers."""
    lineage: Sequence[tuple[str, str]]
    images: Path
    """Folder that ``file`` of a sample starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One region on its image, in half pixels."""

    name: str
    """What the texts call it; empty where it is the only one."""
    path: str
    """``d`` of an SVG path."""
    left: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCard:
    """One question with what was expected and what was said."""

    number: int
    """Place of the question, from 0: its name in the page."""
    question: str
    reference: str
    answer: str
    """Empty where there was none."""
    is_right: bool
    finding: str
    """In words, e.g. ``shares 0.33 of the words``."""
    kind: str
    file: str
    """Empty where there is no image."""
    size: tuple[int, int]
    """Height and width of the image in pixels."""
    outlines: tuple[Outline, ...]


def render_region_answers(page: AnswersPage) -> str:
    """Render the page.

    Raises:
        DataError: If an image that is shown is missing, damaged or of another size.
    """
    order = worst_first(page.result)
    galleries = {"worst": order[:SHOWN], "drawn": _drawn(page.result)[:SHOWN]}
    shown = sorted({place for places in galleries.values() for place in places})
    photographs: dict[str, Photograph] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for place in shown:
        file = page.questions[place].sample.file
        if file is not None and file not in photographs:
            photographs[file], sizes[file] = _photograph(page.images, page.questions[place])
    table = page.result.per_item
    cards = {place: _card(place, page.questions[place], table.iloc[place], sizes) for place in shown}
    numbers = {file: number for number, file in enumerate(photographs)}
    content = {
        "title": _title(page),
        "tiles": _tiles(page),
        "kinds": list(page.parts),
        "rows": _rows(page),
        "undefined": list(page.result.values.undefined.items()),
        "galleries": galleries,
        "cards": cards,
        "photographs": [(numbers[file], photo, sizes[file]) for file, photo in photographs.items()],
        "numbers": numbers,
        "lineage": page.lineage,
    }
    return render_page("region_answers.html.j2", content, styles=["region_answers.css"])


def worst_first(result: RegionAnswers) -> list[int]:
    """Return the places of all questions: wrong ones first, those that share the fewest words before others.

    Ties are ordered by the checksum of the id, so that one image does not fill a page.
    """
    rows = result.per_item
    shared = np.nan_to_num(rows["semantic_iou"].to_numpy(np.float64), nan=0.0)
    badness = np.where(rows["is_right"].to_numpy(bool), 2.0, shared)
    ties = np.array([zlib.crc32(name.encode()) for name in rows["item_id"]])
    return [int(place) for place in np.lexsort((ties, badness))]


def _drawn(result: RegionAnswers) -> list[int]:
    """Return the places of all questions in an order that nobody chose."""
    ids = result.per_item["item_id"].tolist()
    return sorted(range(len(ids)), key=lambda place: zlib.crc32(f"drawn {ids[place]}".encode()))


def _title(page: AnswersPage) -> dict[str, Any]:
    rows = page.result.per_item
    return {
        "questions": len(rows),
        "right": int(rows["is_right"].sum()),
        "missing": int((~rows["is_answered"]).sum()),
        "images": len({question.sample.file for question in page.questions} - {None}),
    }


def _tiles(page: AnswersPage) -> list[Tile]:
    values = {metric.name: metric for metric in page.result.values.metrics}
    return [
        Tile(name=name, value=_number(values[metric]), note=_range(page, metric), tone="quiet")
        for metric, name in _TILES.items()
        if metric in values
    ]


def _rows(page: AnswersPage) -> list[dict[str, Any]]:
    """Lay out one row a metric: the whole with its interval, then the kinds."""
    by_kind = {kind: {metric.name: metric for metric in part.metrics} for kind, part in page.parts.items()}
    return [
        {
            "label": _LABELS[metric.name],
            "meaning": REGION_ANSWERS.spec(metric.name).meaning,
            "value": _number(metric),
            "range": _range(page, metric.name),
            "count": metric.count,
            "kinds": [
                (kind, _number(found[metric.name]) if metric.name in found else DASH)
                for kind, found in by_kind.items()
            ],
        }
        for metric in page.result.values.metrics
    ]


def _number(metric: Metric) -> str:
    return f"{metric.value:.{_digits(metric.name)}f}"


def _range(page: AnswersPage, metric: str) -> str:
    found, digits = page.intervals.get(metric), _digits(metric)
    return "" if found is None else f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def _digits(metric: str) -> int:
    return 1 if REGION_ANSWERS.spec(metric).unit == "percent" else 3


def _card(
    place: int, question: RegionQuestion, row: "pd.Series[Any]", sizes: Mapping[str, tuple[int, int]]
) -> AnswerCard:
    sample, shared = question.sample, float(row["semantic_iou"])
    if row["is_right"]:
        finding = "right"
    elif not row["is_answered"]:
        finding = "no answer"
    elif row["form"] == "yes-no":
        finding = f"wrong: reads as {row['read']}"
    else:
        finding = f"wrong: {shared:.2f} of the words shared"
    return AnswerCard(
        number=place,
        question=_cut(question.text),
        reference=_cut(str(row["reference"])),
        answer=_cut(str(row["answer"])),
        is_right=bool(row["is_right"]),
        finding=finding,
        kind=question.kind,
        file=sample.file or "",
        size=sizes.get(sample.file or "", (1, 1)),
        outlines=_outlines(question),
    )


def _outlines(question: RegionQuestion) -> tuple[Outline, ...]:
    """Outline what is asked about; where the question names no region, all of them."""
    regions = question.sample.regions
    asked = sorted(set(question.sample.turns[question.turn].marks)) or range(len(regions))
    return tuple(
        Outline(
            name=f"{index + 1}" if len(regions) > 1 else "",
            path=path_data(_rings(regions[index])),
            left=int(2 * regions[index].box()[0]),
            top=int(2 * regions[index].box()[1]),
        )
        for index in asked
    )


def _rings(region: SampleRegion) -> list[Ring]:
    if region.mask is not None:
        return trace(region.mask)
    left, top, right, bottom = region.box()
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return [np.rint(2 * corners).astype(np.int64)]


def _photograph(images: Path, question: RegionQuestion) -> tuple[Photograph, tuple[int, int]]:
    """Decode the image of a question; returns its size as well, which not every sample tells."""
    sample = question.sample
    path = images / (sample.file or "")
    if not path.is_file():
        raise DataError(
            f"is missing; {question.question_id} asks about it.",
            obj=str(path),
            hint="Name the folder that the files of the samples start from: --images.",
        )
    size = sample.size
    if size is None:
        pixels = read_rgb(path)
        size = (pixels.shape[0], pixels.shape[1])
    record = ImageRecord(image_id=0, file=sample.file or "", height=size[0], width=size[1], sha256="")
    return load_photograph(images, record), size


def _cut(text: str) -> str:
    left = len(text) - _TEXT
    return text if left <= 0 else f"{text[:_TEXT]} … and {left:,} characters more"
