"""The sentences of the page say what the numbers say."""

import dataclasses

import pytest

from tasks.report import referring_wording as wording
from tasks.report.referring_sources import read_sources
from tests.tasks.report.referring_pages import make_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("wording"), "boxes")


def test_control_characters_are_shown_and_lines_stay():
    assert wording.shown("a\x00b\x1b[31m\nc\x7f\x9f") == "a\\x00b\\x1b[31m\nc\\x7f\\x9f"
    assert wording.shown("<b>שלום</b> \u202e") == "<b>שלום</b> \u202e"


def test_two_models_with_a_verdict(inputs):
    words = wording.page_words(read_sources(inputs))
    assert words["title"] == "new and old"
    assert words["over"] == "Referring expressions, boxes · drawn, split val"
    assert words["sentence"].startswith("Accuracy at IoU .50: ")
    assert words["sentence"].endswith(" of old.")
    assert words["verdict"].word == "Promote"
    assert "may become champion" in words["verdict"].sentence
    assert words["verdict"].objections == ()
    assert len(words["verdict"].reasons) == 2
    assert "30 expressions about 10 images" in words["metrics_lead"]
    assert "95 % interval" in words["metrics_lead"]
    assert "drawn anew 200 times" in words["metrics_lead"]
    facts = dict(words["facts"])
    assert {"Dataset", "Model new", "Answers of old", "Decision", "Policy"} <= set(facts)
    definitions = dict(words["definitions"])
    assert definitions["Intervals"].startswith("BCa bootstrap over images, seed 3, the gate's own;")
    assert "splits are not pooled" in definitions["Metrics"]


def test_one_model_without_a_verdict(inputs):
    sources = read_sources(dataclasses.replace(inputs, champion=None, decision=None))
    words = wording.page_words(sources)
    assert words["verdict"] is None
    assert words["title"] == "new"
    assert "seed 0, those of the page;" in dict(words["definitions"])["Intervals"]


def test_objections_stand_apart(inputs):
    sources = read_sources(inputs)
    decision = {**sources.decision, "verdict": "reject", "objections": ["no."], "reasons": ["one", "no."]}
    verdict = wording.page_words(dataclasses.replace(sources, decision=decision))["verdict"]
    assert (verdict.word, verdict.objections, verdict.reasons) == ("Reject", ("no.",), ("one",))


def test_galleries_without_an_expression_are_left_out(inputs):
    sources = read_sources(inputs)
    found = wording.galleries(
        {"worst": [3], "changed": [], "random": [1], "unanswered": [2]}, inputs, sources
    )
    assert [(item.slug, item.title, item.ids) for item in found] == [
        ("worst", "Worst", (3,)),
        ("random", "Random", (1,)),
        ("unanswered", "No answer", (2,)),
    ]
    assert found[0].lead == "The lowest IoU of new first, of the expressions that it answered."
    assert found[1].lead.endswith("drawn from 30 expressions with seed 7.")
    assert "of 30 answers of new could not be read" in found[2].lead
