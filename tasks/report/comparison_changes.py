"""The images on which two models differ most, with the truth and both predictions side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.changes import ImageChange, image_changes
from tasks.data.records import ImageRecord
from tasks.report.comparison_sources import ComparedModel, ComparisonSources
from tasks.report.gallery import ImageScore
from tasks.report.outlines import path_data, trace
from tasks.report.photographs import Photograph, load_photograph


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """One outlined region of a panel."""

    kind: str
    """``both``, ``only-a``, ``only-b``, ``miss``, ``crowd``, ``hit`` or ``false``: classes of the style."""
    path: str
    """``d`` of an SVG path in half pixels."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedImage:
    """One image by both models."""

    change: ImageChange
    record: ImageRecord
    photograph: Photograph
    true: tuple[Contour, ...]
    candidate: tuple[Contour, ...]
    champion: tuple[Contour, ...]
    scores: tuple[ImageScore, ImageScore]
    found: tuple[int, int, int, int]
    """Regions found by both, only by A, only by B, by neither; crowds not counted."""

    @property
    def panels(self) -> tuple[tuple[str, str, tuple[Contour, ...]], ...]:
        """Name, anchor and outlines of the three panels."""
        return ("Truth", "true", self.true), ("A", "a", self.candidate), ("B", "b", self.champion)


def choose_changes(sources: ComparisonSources, *, count: int) -> list[ImageChange]:
    """Return the images with the largest difference of F1 at mask IoU 0.5; those without any are left out."""
    changes = image_changes(sources.candidate.tables, sources.champion.tables, "mask")
    return [change for change in changes if change.difference][:count]


def draw_changes(
    dataset: Path, changes: Sequence[ImageChange], sources: ComparisonSources
) -> list[ChangedImage]:
    """Decode and outline each image.

    Raises:
        UnavailableError: If an image is absent.
        DataError: If a file is no image of its record's size.
    """
    return [_draw(dataset, change, sources) for change in changes]


def _draw(dataset: Path, change: ImageChange, sources: ComparisonSources) -> ChangedImage:
    record = sources.records[change.image_id]
    mine, theirs = (
        {pairing.region_id for pairing in model.scores[change.image_id].pairings} for model in sources.sides
    )
    true, counts = [], dict.fromkeys(("both", "only-a", "only-b", "miss", "crowd"), 0)
    words = {
        "both": "found by both",
        "only-a": "found by A only",
        "only-b": "found by B only",
        "miss": "found by neither",
        "crowd": "crowd, not scored",
    }
    for region in record.regions:
        kind = _finders(region.region_id in mine, region.region_id in theirs, is_crowd=region.is_crowd)
        counts[kind] += 1
        if region.mask is not None:
            title = f"{region.category} {region.region_id}: {words[kind]}"
            true.append(Contour(kind=kind, path=path_data(trace(region.mask)), title=title))
    return ChangedImage(
        change=change,
        record=record,
        photograph=load_photograph(dataset, record),
        true=tuple(sorted(true, key=lambda item: item.kind != "both")),
        candidate=_predicted(sources.candidate, change.image_id),
        champion=_predicted(sources.champion, change.image_id),
        scores=(sources.candidate.scores[change.image_id], sources.champion.scores[change.image_id]),
        found=(counts["both"], counts["only-a"], counts["only-b"], counts["miss"]),
    )


def _finders(by_mine: bool, by_theirs: bool, *, is_crowd: bool) -> str:
    if is_crowd:
        return "crowd"
    return {(True, True): "both", (True, False): "only-a", (False, True): "only-b"}.get(
        (by_mine, by_theirs), "miss"
    )


def _predicted(model: ComparedModel, image_id: int) -> tuple[Contour, ...]:
    score = model.scores[image_id]
    iou_of = {pairing.detection: pairing.iou for pairing in score.pairings}
    contours = []
    for place, detection in enumerate(model.predictions[image_id].detections):
        title = f"{detection.category}, score {detection.score:.2f}: "
        if place in iou_of:
            kind, title = "hit", f"{title}IoU {iou_of[place]:.2f}"
        elif place in score.ignored:
            kind, title = "crowd", f"{title}on a crowd, not scored"
        else:
            kind, title = "false", f"{title}false alarm"
        contours.append(Contour(kind=kind, path=path_data(trace(detection.mask)), title=title))
    return tuple(sorted(contours, key=lambda item: item.kind != "hit"))
