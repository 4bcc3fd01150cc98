"""``groundwork score regions``: answers about regions against the samples that were asked about."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from evaluation.meteor import Aligner
from evaluation.region_answer_intervals import region_answer_intervals
from evaluation.region_answers import REGION_ANSWERS, RegionItem, evaluate_region_answers
from evaluation.region_text import Embed
from evaluation.values import Values
from tasks.data.answer_directory import read_answer_directory
from tasks.data.region_directory import read_region_directory
from tasks.data.region_questions import RegionQuestion, questions_of
from tasks.errors import DataError
from tasks.operations.score_records import ALPHA, RESAMPLES, SEED, Part, Scored, ScoreRequest
from tasks.report.region_answers import AnswersPage, render_region_answers
from tasks.services.meteor import align_captions

if TYPE_CHECKING:
    from tasks.operations.sentence_encoding import SentenceEncoder


def score_regions(request: ScoreRequest) -> Scored:
    """Score answers, as a whole and by how their questions were made.

    Raises:
        DataError: If a question has no true answer, an answer has an unknown or repeated id, or an image that
            the page shows is missing or of another size.
        IntegrityError: If a directory is damaged, or the answers are to other samples.
        UnavailableError: If METEOR is asked for and cannot run.
    """
    directory = read_region_directory(request.truth)
    given = read_answer_directory(request.predictions, samples_sha256=directory.sha256)
    questions = questions_of(directory.samples)
    items = region_items(questions)
    known = {item.item_id for item in items}
    if unknown := [name for name in given.answers if name not in known]:
        raise DataError(
            f"{len(unknown)} answers are to questions that the samples do not have: {unknown[0]!r}.",
            obj=str(request.predictions),
            hint="Name the samples that were asked about.",
        )
    encoder = None if request.embedder is None else _load_encoder(request.embedder)
    embed = None if encoder is None else _remembered(encoder.embed)
    aligner = _remembered_alignment(align_captions) if request.meteor else None
    whole = evaluate_region_answers(items, given.answers, embed=embed, aligner=aligner)
    parts = _kinds(items, given.answers, embed, aligner)
    intervals = region_answer_intervals(whole, resamples=RESAMPLES, seed=SEED, alpha=ALPHA)
    lineage = {
        "samples_sha256": directory.sha256,
        "model_sha256": given.model_sha256,
        "encoder": None if encoder is None else f"{encoder.name} ({encoder.sha256})",
    }
    page = None
    if request.images is not None:
        page = render_region_answers(
            AnswersPage(
                result=whole,
                questions=questions,
                intervals=intervals,
                parts=parts,
                lineage=[
                    ("Samples, sha256", directory.sha256),
                    ("Model, sha256", given.model_sha256 or "not told: answers are a file"),
                    ("Sentence encoder", lineage["encoder"] or "none"),
                    ("Definition", f"{REGION_ANSWERS.name}, {REGION_ANSWERS.sha256}"),
                ],
                images=request.images,
            )
        )
    return Scored(
        definition=REGION_ANSWERS,
        whole=_part("all", whole.values),
        parts=tuple(_part(kind, values) for kind, values in parts.items()),
        tables={"per_item": whole.per_item},
        intervals=intervals,
        about=lineage,
        page=page,
    )


def region_items(questions: Sequence[RegionQuestion]) -> list[RegionItem]:
    """Hand questions to the evaluation; a conversation without an image is drawn by itself.

    All files of a directory of samples start from one folder: a file is an image, whatever dataset names it.

    Raises:
        DataError: If a question has no true answer, or one without a word.
    """
    items = []
    for question in questions:
        sample = question.sample
        # No file begins with a slash, so that none is taken for a conversation.
        image = sample.file or f"/{sample.dataset}/{sample.split}/{sample.sample_id}"
        try:
            if question.reference is None:
                raise ValueError("it has no true answer to compare with.")
            items.append(
                RegionItem(
                    item_id=question.question_id,
                    image=image,
                    kind=question.kind,
                    reference=question.reference,
                )
            )
        except ValueError as error:
            raise DataError(
                str(error), obj=question.question_id, hint="Import samples that end with an answer."
            ) from error
    return items


def _kinds(
    items: Sequence[RegionItem], answers: dict[str, str], embed: Embed | None, aligner: Aligner | None
) -> dict[str, Values]:
    """Score each kind of question for itself, if there are several."""
    kinds = sorted({item.kind for item in items})
    found = {}
    for kind in kinds if len(kinds) > 1 else ():
        chosen = [item for item in items if item.kind == kind]
        said = {item.item_id: answers[item.item_id] for item in chosen if item.item_id in answers}
        found[kind] = evaluate_region_answers(chosen, said, embed=embed, aligner=aligner).values
    return found


def _part(name: str, values: Values) -> Part:
    return Part(name=name, metrics=values.metrics, undefined=values.undefined)


def _load_encoder(folder: Path) -> "SentenceEncoder":
    """Load an encoder with torch, which takes seconds to import and which no other score needs."""
    from tasks.operations.sentence_encoding import load_sentence_encoder

    return load_sentence_encoder(folder)


def _remembered(embed: Embed) -> Embed:
    """Embed each text once, although the whole and its parts are scored one after the other."""
    known: dict[str, npt.NDArray[np.float64]] = {}

    def wrapped(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        new = [text for text in texts if text not in known]
        if new:
            known.update(zip(new, np.asarray(embed(new), dtype=np.float64), strict=True))
        return np.stack([known[text] for text in texts])

    return wrapped


def _remembered_alignment(aligner: Aligner) -> Aligner:
    """Align each caption once: the program takes seconds to start."""
    known: dict[tuple[str, tuple[str, ...]], npt.NDArray[np.float64]] = {}

    def wrapped(captions: Sequence[str], references: Sequence[Sequence[str]]) -> npt.NDArray[np.float64]:
        keys = [(caption, tuple(texts)) for caption, texts in zip(captions, references, strict=True)]
        new = list(dict.fromkeys(key for key in keys if key not in known))
        if new:
            counts = aligner([caption for caption, _ in new], [list(texts) for _, texts in new])
            known.update(zip(new, counts, strict=True))
        return np.stack([known[key] for key in keys])

    return wrapped
