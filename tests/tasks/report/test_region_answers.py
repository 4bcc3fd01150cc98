"""The page of answers: worst first, everything as text, images with their regions, and no network."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evaluation.region_answer_intervals import region_answer_intervals
from evaluation.region_answers import evaluate_region_answers
from tasks.data.region_questions import questions_of
from tasks.data.region_records import RegionMark, RegionSample, RegionTurn, SampleRegion
from tasks.data.rle import encode_mask
from tasks.errors import DataError
from tasks.operations.scoring_regions import region_items
from tasks.report.region_answers import SHOWN, AnswersPage, render_region_answers, worst_first
from tests.tasks.report.browser import needs_browser, open_page

NASTY = '<script>alert("x")</script> & {{ 7 * 7 }}'


def samples():
    """Two images, one with a mask and a box, one of unknown size, and a text without an image."""
    mask = np.zeros((30, 40), np.bool_)
    mask[5:15, 8:20] = True
    regions = (
        SampleRegion(mask=encode_mask(mask)),
        SampleRegion(box_xyxy=(20.0, 10.0, 36.0, 28.0)),
    )
    turns = (
        RegionTurn(role="user", parts=(f"What {NASTY} is ", RegionMark(0), "?")),
        RegionTurn(role="assistant", parts=("a cup",)),
        RegionTurn(role="user", parts=("Is ", RegionMark(1), " a dog?")),
        RegionTurn(role="assistant", parts=("No.",)),
        RegionTurn(role="user", parts=("Which one shines?",)),
        RegionTurn(role="assistant", parts=(RegionMark(0),)),
    )
    whole = (
        RegionTurn(role="user", parts=("What is there?",)),
        RegionTurn(role="assistant", parts=("a grey wall without any door",)),
    )
    return [
        RegionSample(
            dataset="d", split="", sample_id="1", file="one.png", size=(30, 40), regions=regions, turns=turns
        ),
        RegionSample(dataset="d", split="", sample_id="2", file="two.png", size=None, turns=whole),
        RegionSample(dataset="d", split="", sample_id="3", file=None, size=None, turns=whole),
    ]


ANSWERS = {"d//1#1": "a red cup", "d//1#2": "no", "d//1#3": NASTY, "d//2#1": "A grey wall without any door."}


def page(folder, answers=ANSWERS):
    for name, level in (("one.png", 200), ("two.png", 90)):
        Image.fromarray(np.full((30, 40, 3), level, np.uint8)).save(folder / name)
    questions = questions_of(samples())
    result = evaluate_region_answers(region_items(questions), answers)
    return AnswersPage(
        result=result,
        questions=questions,
        intervals=region_answer_intervals(result, resamples=20, seed=0, alpha=0.05),
        parts={"dialogue": result.values},
        lineage=[("Model, sha256", "ab" * 32)],
        images=folder,
    )


def test_wrong_answers_stand_first_and_those_that_share_least_before_others(tmp_path):
    result = page(tmp_path).result
    ids = [result.per_item["item_id"][place] for place in worst_first(result)]
    assert set(ids[:2]) == {"d//1#3", "d//3#1"}  # nothing shared, and no answer at all
    assert ids[2] == "d//1#1"  # two of three words
    assert set(ids[3:]) == {"d//1#2", "d//2#1"}


def test_what_a_reader_sees(tmp_path):
    text = render_region_answers(page(tmp_path))
    assert "<title>Answers about regions: 2 of 5 right</title>" in text
    assert "2 of 5 answers are right" in text
    assert "1 questions have no answer; they count as wrong." in text
    assert "wrong: 0.67 of the words shared" in text
    assert "no answer" in text
    assert "Is region2 a dog?" in text
    assert "2 images." in text  # a text without an image is none
    assert "Without an image" in text
    assert text.count("<image id=") == 2  # each once, however often it is shown
    assert "ab" * 32 in text
    assert text == render_region_answers(page(tmp_path))


def test_text_of_others_stays_text(tmp_path):
    text = render_region_answers(page(tmp_path))
    assert "<script" not in text
    assert "&lt;script&gt;alert" in text
    assert "{{ 7 * 7 }}" in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_question_without_a_region_shows_all_of_them(tmp_path):
    text = render_region_answers(page(tmp_path))
    card = text[text.index("Image of question 2") :].partition("</svg>")[0]
    assert card.count('class="hue-0"') == 2
    assert ">1</text>" in card
    assert ">2</text>" in card
    one = text[text.index("Image of question 1") :].partition("</svg>")[0]
    assert one.count('class="hue-0"') == 1


def test_long_answers_are_cut_and_galleries_end(tmp_path):
    text = render_region_answers(page(tmp_path, {"d//2#1": "word " * 400}))
    assert "and 1,39" in text
    assert SHOWN == 24


def test_images_that_are_not_there_or_have_another_size(tmp_path):
    wanted = page(tmp_path)
    (tmp_path / "one.png").unlink()
    with pytest.raises(DataError, match=r"is missing; d//1#\d asks about it"):
        render_region_answers(wanted)
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="the file is 30x40, the annotations say 40x30"):
        render_region_answers(replace(wanted, images=tmp_path))


@needs_browser
def test_the_page_opens_without_a_network(tmp_path):
    path = tmp_path / "answers.html"
    path.write_text(render_region_answers(page(tmp_path)), encoding="utf-8")
    opened = open_page(path, tmp_path)
    assert opened.title == "Answers about regions: 2 of 5 right"
    assert opened.requests == []
    assert "7 * 7" in opened.dom
