"""Answers to samples, from directories to numbers; unknown, missing and repeated ids; METEOR asked once."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation.meteor import COUNTS
from tasks.data.commit import verify_directory
from tasks.data.region_directory import count_samples, read_region_directory
from tasks.data.region_questions import questions_of
from tasks.errors import DataError, IntegrityError
from tasks.operations import scoring_regions
from tasks.operations.score_records import ScoreRequest
from tasks.operations.scoring import PAGE, SCORES_SCHEMA, score_files
from tests.tasks.data.test_region_directory import commit
from tests.tasks.data.test_region_questions import sample
from tests.tasks.operations.asked import write_world
from tests.tasks.operations.test_sentence_encoding import folder  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("place"))


def truth(place):
    samples = read_region_directory(place / "samples").samples
    return {question.question_id: question.reference for question in questions_of(samples)}


def say(path, answers):
    rows = (json.dumps({"question_id": name, "answer": text}) for name, text in answers.items())
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def request(place, predictions, **changes):
    return ScoreRequest(kind="regions", truth=place / "samples", predictions=predictions, **changes)


def values(document):
    return {item["name"]: item["value"] for item in document["metrics"]}


def test_the_truth_is_right_and_silence_is_wrong(place, tmp_path):
    answers = truth(place)
    document = score_files(request(place, say(tmp_path / "a.jsonl", answers)), tmp_path / "out")
    found = values(document)
    assert found["answers.exact_match"] == found["yes_no.accuracy"] == found["yes_no.f1"] == 1.0
    assert found["region_text.semantic_iou"] == 100.0
    assert document["model_sha256"] is None
    assert {part["name"] for part in document["parts"]} == {"describe-label", "exists-nearest"}
    assert document["intervals"]["answers.exact_match"]["low"] == 1.0
    table = pd.read_parquet(tmp_path / "out" / "per_item.parquet")
    assert table["is_right"].all()
    verify_directory(tmp_path / "out", schema=SCORES_SCHEMA)
    assert not (tmp_path / "out" / PAGE).exists()
    half = dict(list(answers.items())[::2])
    document = score_files(request(place, say(tmp_path / "b.jsonl", half)))
    assert values(document)["answers.answered"] == pytest.approx(len(half) / len(answers))
    assert values(document)["answers.exact_match"] == pytest.approx(len(half) / len(answers))


def test_answers_with_unknown_or_repeated_ids(place, tmp_path):
    with pytest.raises(DataError, match="1 answers are to questions that the samples do not have: 'x#1'"):
        score_files(request(place, say(tmp_path / "a.jsonl", truth(place) | {"x#1": "a"})))
    name = next(iter(truth(place)))
    line = json.dumps({"question_id": name, "answer": "a"}) + "\n"
    (tmp_path / "b.jsonl").write_text(line * 2)
    with pytest.raises(DataError, match="is answered a second time"):
        score_files(request(place, tmp_path / "b.jsonl"))
    with pytest.raises(IntegrityError, match="Name a directory that `groundwork answer` made"):
        score_files(request(place, place / "shapes"))


def test_a_question_without_a_true_answer(tmp_path):
    commit(tmp_path / "samples", [sample()])
    with pytest.raises(DataError, match="it has no true answer to compare with") as caught:
        score_files(request(tmp_path, say(tmp_path / "a.jsonl", {"d/val/7/choose#1": "a"})))
    assert caught.value.obj == "d/val/7/choose#3"


def test_a_page_beside_the_scores(place, tmp_path):
    answers = say(tmp_path / "a.jsonl", truth(place))
    score_files(request(place, answers, images=place / "shapes/train"), tmp_path / "out")
    text = (tmp_path / "out" / PAGE).read_text()
    assert "answers are right" in text
    assert "not told: answers are a file" in text
    with pytest.raises(DataError, match="is missing"):
        score_files(request(place, answers, images=tmp_path), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_sentence_encoder_is_named(place, tmp_path, folder):  # noqa: F811
    document = score_files(request(place, say(tmp_path / "a.jsonl", truth(place)), embedder=folder))
    assert values(document)["region_text.semantic_similarity"] == pytest.approx(100.0)
    assert document["encoder"].startswith(f"{folder.name}, mean of its tokens (")
    assert "embedder" in document["inputs"]


def test_meteor_aligns_each_sentence_once(tmp_path, monkeypatch):
    asked = []

    def aligner(captions, references):
        asked.append(list(captions))
        return np.zeros((len(captions), len(COUNTS)))

    monkeypatch.setattr(scoring_regions, "align_captions", aligner)
    turns = sample().turns[:2]
    long = turns[1].__class__(role="assistant", parts=("the cup beside the blue plate",))
    samples = [sample("1/choose", turns=(turns[0], long)), sample("2", turns=(turns[0], long))]
    commit(tmp_path / "samples", samples)
    answers = say(tmp_path / "a.jsonl", {"d/val/1/choose#1": "a cup", "d/val/2#1": "a cup"})
    document = score_files(request(tmp_path, answers, meteor=True))
    assert asked == [["a cup"]]
    assert values(document)["caption.meteor"] == 0.0
    assert len(document["parts"]) == 2


def test_one_image_is_one_image_whatever_its_samples_are_called(tmp_path):
    turns = sample().turns[:2]
    word = turns[0].__class__(role="user", parts=("Why?",))
    samples = [
        *(replace(sample(kind, turns=turns), dataset=f"osprey-{kind}") for kind in ("part", "short", "talk")),
        replace(sample("4", turns=turns), file="b.png"),
        *(
            replace(sample("5", turns=(word, turns[1])), split=split, file=None, size=None, regions=())
            for split in ("train", "val")
        ),
    ]
    units = [item.image for item in scoring_regions.region_items(questions_of(samples))]
    assert units[:4] == ["a.png"] * 3 + ["b.png"]
    assert len(set(units)) == 4  # texts without an image are drawn by themselves
    assert count_samples(samples)["images"] == 2


def test_a_reference_without_a_word_of_a_caption(tmp_path):
    """Four emoji are four words to whoever splits at spaces, and none to BLEU."""
    turns = sample().turns[:2]
    samples = [
        sample(str(number), turns=(turns[0], turns[1].__class__(role="assistant", parts=(text,))))
        for number, text in enumerate(
            ("\N{DOG FACE} \N{CAT FACE} \N{COW FACE} \N{PIG FACE}", "a red cup by it")
        )
    ]
    commit(tmp_path / "samples", samples)
    answers = say(tmp_path / "a.jsonl", truth(tmp_path))
    document = score_files(request(tmp_path, answers))
    assert values(document)["answers.exact_match"] == 1.0
    counts = {item["name"]: item["count"] for item in document["metrics"]}
    assert (counts["region_text.semantic_iou"], counts["caption.rouge_l"]) == (2, 1)
