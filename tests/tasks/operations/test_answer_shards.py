"""Questions in batches say what they say alone, and an image is gathered with all that is asked about it."""

from dataclasses import replace

import pytest
import torch

from models.region_lm.generation import generate
from tasks.data.region_directory import read_region_directory
from tasks.data.region_examples import load_example
from tasks.data.region_questions import questions_of
from tasks.errors import DataError
from tasks.operations.answer_shards import Answerer, AnswerJob, plan_visits
from tasks.operations.region_model_files import load_region_model
from tests.tasks.data.test_region_questions import sample
from tests.tasks.operations.asked import write_model, write_world


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = write_world(tmp_path_factory.mktemp("place"))
    write_model(folder / "model")
    return folder


def job(place, **changes):
    usual = {
        "key": "k", "parts": place, "model": place / "model", "data": place / "samples",
        "images": place / "shapes/train", "max_new_tokens": 4, "shown": "mask", "history": "told",
        "at_once": 5, "num_questions": 6, "most": 100, "shard_questions": 6,
    }  # fmt: skip
    return AnswerJob(**(usual | changes))


@pytest.fixture(scope="module")
def loaded(place):
    return load_region_model(place / "model")


def asked(place, count=6):
    return questions_of(read_region_directory(place / "samples").samples)[:count]


def slow_answer(loaded, place, question, *, shown="mask"):
    """Ask one question, by itself, through the processor's own door."""
    example = load_example(question.sample, place / "shapes/train", shown=shown)
    batch = loaded.processor(
        [replace(example, turns=example.turns[: question.turn + 1])], answer_next=True
    ).to(loaded.model.device)
    return loaded.processor.decode(generate(loaded.model, batch, max_new_tokens=4)[0])


@pytest.mark.parametrize("shown", ["mask", "box"])
def test_a_batch_says_what_each_question_says_alone(place, loaded, shown):
    questions = asked(place)
    lines = list(Answerer(job(place, shown=shown), loaded, questions).lines(0))
    assert [line["question_id"] for line in lines] == [question.question_id for question in questions]
    for line, question in zip(lines, questions, strict=True):
        assert line["answer"] == slow_answer(loaded, place, question, shown=shown)


def test_a_question_alone_has_no_history(place, loaded):
    question = next(question for question in asked(place) if question.turn > 0)
    told, alone = (
        Answerer(job(place, history=name), loaded, [question])._turns(question) for name in ("told", "none")
    )
    assert len(told) == question.turn + 1
    assert [turn.role for turn in alone] == ["user"]
    assert alone[0].parts[:2] == told[0].parts[:2]  # the image stands first in both
    assert alone[0].parts[-2:] == told[-1].parts[-2:]


def test_a_choice_that_stands_alone_still_lists_its_regions(place, loaded):
    (_, question, _) = questions_of([sample()])  # its answer cites a region
    (turn,) = Answerer(job(place, history="none"), loaded, [question])._turns(question)
    assert "region1 " in turn.parts


def test_an_image_is_visited_once_while_its_regions_fit(place):
    questions = asked(place, 100)
    visits = plan_visits(questions, most=100)
    assert len(visits) == 3
    assert sum(len(visit.questions) for visit in visits) == len(questions)
    samples = {question.sample.sample_id for question in questions}
    few = plan_visits(questions, most=1)
    assert len(few) == len(samples)
    assert all(len({question.sample.sample_id for question in visit.questions}) == 1 for visit in few)


def test_text_alone_and_images_share_a_batch(place, loaded):
    text = replace(sample("9", regions=0, turns=sample().turns[4:]), file=None, size=None)
    (alone,) = questions_of([text])
    questions = [asked(place)[0], alone]
    lines = list(Answerer(job(place, num_questions=2), loaded, questions).lines(0))
    assert lines[0]["answer"] == slow_answer(loaded, place, questions[0])
    assert len(lines) == 2


def test_what_cannot_be_asked_is_named(place, loaded):
    questions = asked(place)
    with pytest.raises(DataError, match="must be at least 1 and fit behind a prompt") as caught:
        list(Answerer(job(place, max_new_tokens=5000), loaded, questions).lines(0))
    assert questions[0].question_id in caught.value.obj
    assert "--history none" in caught.value.hint
    wrong = replace(
        questions[0], sample=replace(questions[0].sample, regions=(), size=(65, 64), turns=sample().turns[4:])
    )
    with pytest.raises(DataError, match="the file is 64x64, the annotations say 64x65"):
        list(Answerer(job(place), loaded, [replace(wrong, turn=0)]).lines(0))


def test_no_thread_is_left_behind(place, loaded):
    before = torch.get_num_threads()
    list(Answerer(job(place), loaded, asked(place)).lines(0))
    assert torch.get_num_threads() == before
