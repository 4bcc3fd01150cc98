"""The hash of a run changes with what decides its weights."""

from types import SimpleNamespace

from tasks.operations import run_keys
from tasks.operations.run_keys import digest, hash_code


def test_the_order_of_keys_does_not_matter_and_values_do():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_code_is_the_trainer_the_models_and_what_is_named(tmp_path):
    lesson = tmp_path / "lesson.py"
    lesson.write_text("one")
    before = hash_code([SimpleNamespace(__file__=str(lesson))])
    assert before == hash_code([SimpleNamespace(__file__=str(lesson))])
    assert before != hash_code([run_keys])
    lesson.write_text("two")
    assert before != hash_code([SimpleNamespace(__file__=str(lesson))])
