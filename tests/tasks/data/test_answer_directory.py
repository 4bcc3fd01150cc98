"""Answers of a model, or of others: which samples they are to is checked where it is known."""

import json

import pytest

from tasks.data.answer_directory import ANSWERS, ANSWERS_SCHEMA, read_answer_directory
from tasks.data.commit import commit_directory
from tasks.errors import DataError, IntegrityError

LINE = json.dumps({"question_id": "d/val/1#1", "answer": "a cup"}) + "\n"


def commit(folder, **provenance):
    write = lambda staging: (staging / ANSWERS).write_text(LINE)  # noqa: E731
    return commit_directory(folder, write, schema=ANSWERS_SCHEMA, provenance=provenance)


def test_a_directory_and_a_file(tmp_path):
    commit(tmp_path / "d", samples_sha256="aa", model_sha256="bb")
    found = read_answer_directory(tmp_path / "d", samples_sha256="aa")
    assert (found.answers, found.model_sha256) == ({"d/val/1#1": "a cup"}, "bb")
    (tmp_path / "f.jsonl").write_text(LINE)
    found = read_answer_directory(tmp_path / "f.jsonl", samples_sha256="cc")
    assert (found.answers, found.model_sha256) == ({"d/val/1#1": "a cup"}, None)


def test_answers_to_other_samples_are_refused(tmp_path):
    commit(tmp_path / "d", samples_sha256="aa", model_sha256="bb")
    with pytest.raises(IntegrityError, match="answers questions of samples aa, the truth is cc"):
        read_answer_directory(tmp_path / "d", samples_sha256="cc")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntegrityError, match="Name a directory that `groundwork answer` made, or a file"):
        read_answer_directory(tmp_path / "empty", samples_sha256="cc")


def test_an_id_that_repeats(tmp_path):
    (tmp_path / "f.jsonl").write_text(LINE * 2)
    with pytest.raises(DataError, match="is answered a second time"):
        read_answer_directory(tmp_path / "f.jsonl", samples_sha256="cc")
