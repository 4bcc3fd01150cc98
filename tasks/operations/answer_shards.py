"""Questions about regions, answered shard by shard, as ``tasks.operations.shards`` runs them.

Within a shard an image is encoded once for all its questions; questions of several images share a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch

from models.region_lm.batches import RegionBatch, RegionExample, join_batches
from models.region_lm.generation import generate
from models.region_lm.mentions import Mention, Utterance
from tasks.data.region_directory import SAMPLES
from tasks.data.region_examples import load_example
from tasks.data.region_prompts import are_listed, to_utterances
from tasks.data.region_questions import RegionQuestion, questions_of
from tasks.data.region_sample_files import read_samples
from tasks.errors import DataError
from tasks.operations.region_model_files import LoadedRegionModel, load_region_model

PART_SCHEMA: Final = "groundwork.answers_part/1"
History: TypeAlias = Literal["told", "none"]
"""Whether a question stands behind the earlier turns of its sample, with their true answers, or alone."""
Shown: TypeAlias = Literal["mask", "box"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Questions about one image that are asked together: their regions are no more than a model takes."""

    file: str | None
    """None: there is only text."""
    questions: tuple[RegionQuestion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerJob:
    """Everything a worker must know."""

    key: str
    """Identity of the whole work; parts of another key are foreign."""
    parts: Path
    """Folder of the finished shards."""
    model: Path
    data: Path
    """Directory of samples."""
    images: Path
    """Folder that ``file`` of a sample starts from."""
    max_new_tokens: int
    shown: Shown
    history: History
    at_once: int
    """Questions that are answered in one batch."""
    num_questions: int
    """The first ones are asked."""
    most: int
    """Regions that a model takes of one image."""
    shard_questions: int

    @property
    def schema(self) -> str:
        """Name and version of what a line holds."""
        return PART_SCHEMA

    @property
    def num_shards(self) -> int:
        """Count the shards."""
        return -(-self.num_questions // self.shard_questions)

    def open(self) -> "Answerer":
        """Load model and samples."""
        questions = questions_of(read_samples(self.data / SAMPLES))
        return Answerer(self, load_region_model(self.model), questions[: self.num_questions])


def plan_visits(questions: Sequence[RegionQuestion], *, most: int) -> list[Visit]:
    """Gather questions about one image, in the order in which images come up.

    Args:
        questions: What is asked.
        most: Regions that a model takes of one image; a sample with more of them is left whole.
    """
    visits: list[Visit] = []
    open_visit: dict[str | None, int] = {}
    for question in questions:
        file = question.sample.file
        place = open_visit.get(file)
        if file is None or place is None or not _fits(visits[place], question, most):
            open_visit[file] = len(visits)
            visits.append(Visit(file=file, questions=(question,)))
        else:
            visits[place] = replace(visits[place], questions=(*visits[place].questions, question))
    return visits


def _fits(visit: Visit, question: RegionQuestion, most: int) -> bool:
    samples = {id(asked.sample): asked.sample for asked in visit.questions}
    if id(question.sample) in samples:
        return True
    return sum(len(sample.regions) for sample in (*samples.values(), question.sample)) <= most


class Answerer:
    """Answers the questions of shards.

    Args:
        job: What to do.
        loaded: Of ``job.model``.
        questions: All that are asked.
    """

    def __init__(
        self, job: AnswerJob, loaded: LoadedRegionModel, questions: Sequence[RegionQuestion]
    ) -> None:
        self.job, self.loaded, self.questions = job, loaded, questions

    def lines(self, shard: int) -> Iterator[dict[str, Any]]:
        """Answer the questions of one shard, in their order.

        Raises:
            DataError: If an image is missing, damaged or of another size, or a prompt is too long.
        """
        size = self.job.shard_questions
        questions = self.questions[shard * size : (shard + 1) * size]
        answers: dict[str, str] = {}
        for visits in _gathered(plan_visits(questions, most=self.job.most), self.job.at_once):
            answers |= self._answer(visits)
        for question in questions:
            yield {"question_id": question.question_id, "answer": answers[question.question_id]}

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, visits: Sequence[Visit]) -> dict[str, str]:
        model, processor = self.loaded.model, self.loaded.processor
        asked = [question for visit in visits for question in visit.questions]
        batch = join_batches([self._batch(visit) for visit in visits]).to(model.device, model.dtype)
        answers: dict[str, str] = {}
        with torch.no_grad():
            seen = model.see(batch)
            for start in range(0, len(asked), self.job.at_once):
                places = range(start, min(start + self.job.at_once, len(asked)))
                try:
                    said = generate(
                        model,
                        batch.select(places),
                        max_new_tokens=self.job.max_new_tokens,
                        seen=seen,
                    )
                except ValueError as error:
                    raise DataError(
                        f"{error}",
                        obj=f"questions {asked[places[0]].question_id} to {asked[places[-1]].question_id}",
                        hint="Say fewer --max-new-tokens, or ask each question alone: --history none.",
                    ) from error
                for place, ids in zip(places, said, strict=True):
                    answers[asked[place].question_id] = processor.decode(ids)
        return answers

    def _batch(self, visit: Visit) -> RegionBatch:
        """Read the image once, put the regions of all its samples behind each other, and ask."""
        processor, questions = self.loaded.processor, visit.questions
        try:
            if visit.file is None:
                examples = [RegionExample(image=None, turns=self._turns(question)) for question in questions]
                return processor(examples, answer_next=True)
            samples = {id(question.sample): question.sample for question in questions}
            loaded = [
                load_example(sample, self.job.images, shown=self.job.shown) for sample in samples.values()
            ]
            masks = [example.masks for example in loaded if example.masks is not None]
            counts = [0 if example.masks is None else len(example.masks) for example in loaded]
            first = dict(zip(samples, np.cumsum([0, *counts]).tolist(), strict=False))
            turns = [_shifted(self._turns(question), first[id(question.sample)]) for question in questions]
            image = loaded[0].image
            assert image is not None  # the visit has a file
            return processor.ask(image, np.concatenate(masks) if masks else None, turns)
        except (TypeError, ValueError) as error:
            raise DataError(
                str(error),
                obj=f"questions {questions[0].question_id} to {questions[-1].question_id}",
                hint="Name a model that sees such regions, or import other samples.",
            ) from error

    def _turns(self, question: RegionQuestion) -> tuple[Utterance, ...]:
        sample, turn = question.sample, question.turn
        if self.job.history == "told":
            return to_utterances(sample)[: turn + 1]
        return to_utterances(replace(sample, turns=(sample.turns[turn],)), listed=are_listed(sample))


def _gathered(visits: Sequence[Visit], at_once: int) -> Iterator[list[Visit]]:
    """Put visits together until a batch is full."""
    gathered: list[Visit] = []
    for visit in visits:
        gathered.append(visit)
        if sum(len(visit.questions) for visit in gathered) >= at_once:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _shifted(turns: Sequence[Utterance], first: int) -> tuple[Utterance, ...]:
    """Count regions from another place."""
    return tuple(
        Utterance(
            role=turn.role,
            parts=tuple(
                Mention(part.index + first) if isinstance(part, Mention) else part for part in turn.parts
            ),
        )
        for turn in turns
    )
