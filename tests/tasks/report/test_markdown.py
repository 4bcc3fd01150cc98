import json
import re
from typing import Any

import mistune
import pytest
from hypothesis import given, settings

from tasks.errors import DataError
from tasks.report.markdown import RuleChanges, render_decision, render_failure
from tests.tasks.report.test_markdown_text import check_inert, strange, structure

SHA = "0123456789abcdef" * 4


def make(verdict: str = "reject", name: str = "circle", said: str = "said", **changes: Any) -> dict[str, Any]:
    side = {"bundle_id": "b" * 16, "model_sha256": SHA, "sequence": None, "metrics": {"mask.ap50": 0.6}}
    compared = {
        "metric": "mask.ap50", "candidate": 0.61234, "champion": 0.6, "difference": 0.01234,
        "interval": [-0.001, 0.02], "margin": 0.0, "outcome": "inconclusive",
    }  # fmt: skip
    return {
        "schema": "groundwork.decision/1",
        "decision_id": "0123456789abcdef",
        "verdict": verdict,
        "reasons": [said],
        "objections": [],
        "comparisons": [compared, compared | {"metric": "mask.recall50", "outcome": "worse"}],
        "floors": [
            {"metric": "mask.ap50", "value": 0.61, "at_least": 0.45, "passed": True},
            {"metric": "box.recall50", "value": 0.1, "at_least": 0.2, "category": name, "passed": False},
            {"metric": "detections_per_image", "value": 7.0, "at_most": 9, "image_id": 12, "passed": True},
            {"metric": "mask.ap", "value": None, "at_least": 0.2, "passed": False},
        ],
        "candidate": side,
        "champion": side | {"sequence": 3},
        "policy_sha256": SHA,
        "dataset_sha256": SHA,
        "definition_sha256": SHA,
        "definition": {"name": "coco-instances/1", "sha256": SHA, "conventions": [], "metrics": []},
        "alpha": 0.05,
        "interval": "bca",
        "resamples": 2000,
        "seed": 1,
        "remarks": ["remark"],
    } | changes


def test_a_rejection_in_words():
    assert render_decision(make()) == (
        "## Evaluation gate: ❌ reject\n\n"
        "2 of 4 limits are met; mask recall is worse than the champion's. The champion stays.\n\n"
        "| compared | candidate | champion | difference | 95 % interval | margin | outcome |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |\n"
        "| `mask.ap50` | 0.6123 | 0.6000 | +0.0123 | -0.0010 to +0.0200 | +0.0000 | ❔ inconclusive |\n"
        "| `mask.recall50` | 0.6123 | 0.6000 | +0.0123 | -0.0010 to +0.0200 | +0.0000 | ❌ worse |\n\n"
        "| limit | of | value | required | outcome |\n"
        "| --- | --- | ---: | --- | --- |\n"
        "| `mask.ap50` | all | 0.6100 | at least 0.4500 | ✅ met |\n"
        "| `box.recall50` | category `circle` | 0.1000 | at least 0.2000 | ❌ missed |\n"
        "| `detections_per_image` | image `12` | 7.0000 | at most 9.0000 | ✅ met |\n"
        "| `mask.ap` | all | \u2013 | at least 0.2000 | ❌ missed |\n\n"
        "**Reasons**\n\n- said\n\n"
        "**Notes**\n\n- remark\n\n"
        "| judged | by its sha256 |\n"
        "| --- | --- |\n"
        f"| candidate | model `{SHA}` |\n"
        f"| champion | model `{SHA}`, entry 3 of the ledger |\n"
        f"| dataset | `{SHA}` |\n"
        f"| policy | `{SHA}` |\n"
        f"| metric definition | `coco-instances/1` `{SHA}` |\n"
        "| intervals | bca, paired bootstrap over images, 2000 resamples, seed 1 |\n"
        "| decision | `0123456789abcdef` |\n"
    )


def test_objections_stand_apart_from_the_reasons():
    objection = "candidate: mask.ap50 must be a number from 0 to 1, got nan."
    text = render_decision(make(objections=[objection], reasons=["1 objections: ...", objection]))
    assert text.count("got nan") == 1
    assert text.index("**Objections**") < text.index("**Reasons**")


def test_a_first_promotion_has_nothing_to_compare():
    text = render_decision(make("promote", champion=None, comparisons=[], floors=[], reasons=["first."]))
    assert text.startswith("## Evaluation gate: ✅ promote\n")
    assert "| champion | none |" in text
    assert "compared" not in text
    assert "limit |" not in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (RuleChanges(base="main", files=(), judged_by_base=True), "The rules are those of `main`."),
        (
            RuleChanges(base="main", files=(), judged_by_base=False),
            "The rules are not among those of `main`.",
        ),
        (
            RuleChanges(base="main", files=(("configs/gates/a.yaml", "changed"),), judged_by_base=False),
            "⚠️ **The thresholds of the gate change in this very change:** `configs/gates/a.yaml` (changed). "
            "**The rules that judged here are not those of `main`**: review them for themselves.",
        ),
        (
            RuleChanges(base="main", files=(("configs/gates/b.yaml", "added"),), judged_by_base=True),
            "⚠️ **The thresholds of the gate change in this very change:** `configs/gates/b.yaml` (added). "
            "The rules that judged here are also those of `main`.",
        ),
    ],
)
def test_rules_that_changed_with_the_model_are_said_at_the_top(changes, sentence):
    assert f"\n\n{sentence}\n\n" in render_decision(make(), changes=changes)
    assert "thresholds" not in render_decision(make())


@settings(max_examples=60)
@given(strange, strange, strange)
def test_names_and_sentences_of_strangers_change_no_structure(name, said, base):
    """Rendered by two readers of markdown: the same blocks as with plain words, nothing active among them."""
    changes = RuleChanges(base=base, files=((name, said),), judged_by_base=False)
    decision = make(name=name, said=said, objections=[said], remarks=[name], definition={"name": name})
    decision["comparisons"][0]["metric"] = decision["floors"][0]["metric"] = name
    markdown = render_decision(json.loads(json.dumps(decision)), changes=changes)
    calm = render_decision(
        make(objections=["said"], reasons=[], remarks=["r"]),
        changes=RuleChanges(base="b", files=(("n", "s"),), judged_by_base=False),
    )
    assert structure(markdown) == structure(calm)
    check_inert(markdown)
    html = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])(markdown)
    allowed = {"h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code"}
    assert {tag.strip("/").split(" ")[0] for tag in _tags(html)} <= allowed


def _tags(html: Any) -> list[str]:
    return re.findall(r"<(/?[a-zA-Z!][^>]*)>", str(html))


@pytest.mark.parametrize(
    "content",
    [
        None, [], "text", {}, {"schema": "groundwork.metrics/1"}, make() | {"verdict": "fine"},
        make() | {"comparisons": [{}]}, make() | {"floors": None}, make() | {"alpha": "x"},
        make() | {"candidate": None}, make() | {"reasons": [1]},
    ],
)  # fmt: skip
def test_what_is_no_decision_is_refused(content):
    with pytest.raises(DataError, match="is no decision of the gate"):
        render_decision(content)


def test_a_failure_is_no_decision():
    error = {
        "code": "unavailable",
        "message": "the champion <b>@x</b> is gone.",
        "object": "s3://b",
        "hint": "Wait.",
    }
    assert render_failure(error, 6) == (
        "## Evaluation gate: ⚠️ no decision\n\n"
        "The evaluation ended with `unavailable` (exit code 6): nothing was judged, so nothing may be "
        "promoted. Running it again may help.\n\n"
        "- at fault: `s3://b`\n"
        "- cause: the champion `<b>@x</b>` is gone.\n"
        "- next: Wait.\n"
    )
    assert "again" not in render_failure(error, 5)
