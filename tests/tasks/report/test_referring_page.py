"""The page as a browser meets it: whole, without network, without anybody's markup but ours."""

import csv
import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from tasks.data.commit import verify_directory
from tasks.operations.evaluating_referring import evaluate_referring
from tasks.operations.preparing_referring import prepare_referring
from tasks.report.referring_page import REPORT_SCHEMA, render_referring
from tests.tasks.referring_world import write_model
from tests.tasks.report.browser import needs_browser, open_page
from tests.tasks.report.referring_pages import make_inputs

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
HOSTILE = (
    "<script>document.documentElement.dataset.ran=1</script>\"'></bdi></span></summary>"
    "<img src=http://evil.test/x onerror=document.documentElement.dataset.ran=2> {{ page }} {% raw %}"
)
NAMES = ("<script>alert(1)</script>", "\"'></bdi><img src=x onerror=a()>")
HOSTILE_TEXTS = (
    HOSTILE,
    "שמאל \u202e gnp.tnemucod \u2066 العربية",
    "a" * 10_000,
    "z" + "\u0335\u0350\u0360" * 900,
    "</style></head><body onload=alert(1)>",
    "javascript:alert(1) &lt;b&gt; ]]> --> 'x' `y`",
)


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def count(self, tag, kind=None):
        names = [attributes.get("class") or "" for name, attributes in self.tags if name == tag]
        return len(names) if kind is None else sum(kind in name.split() for name in names)


def assert_harmless(text):
    """No script, no handler, no address outside the file, and a policy that says the same to the browser."""
    reader = Reader(text)
    for tag, attributes in reader.tags:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base", "img"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "srcset", "action", "xlink:href", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,", "data:,"))
    assert not re.search(r"url\((?!#clip-)|@import", text)
    assert [item["content"] for tag, item in reader.tags if "http-equiv" in item] == [POLICY]
    anchors = {attributes["id"] for _, attributes in reader.tags if attributes.get("id")}
    assert {item["href"][1:] for tag, item in reader.tags if tag in {"a", "use"}} <= anchors
    return reader


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("boxes"), "boxes")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Inputs in which every text of a stranger is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    inputs = make_inputs(folder, "masks", absent=1)
    document = json.loads((folder / "val.json").read_text())
    for number, row in enumerate(document["refs"]):
        row["sent"] = HOSTILE_TEXTS[number % len(HOSTILE_TEXTS)]
    (folder / "val.json").write_text(json.dumps(document))
    prepare_referring([str(folder / "val.json")], source=f"x/{HOSTILE}", out=folder / "prepared")

    def change(answers):
        return [
            dataclasses.replace(
                answer, text=HOSTILE_TEXTS[answer.expression_id % len(HOSTILE_TEXTS)] + "\x00"
            )
            for answer in answers
        ]

    for name in ("new", "old"):
        answers = write_model(
            folder / f"{name}.jsonl", folder / "prepared", noise=0.2, seed=1, change=change, silent=0.3
        )
        evaluate_referring(
            prepared=folder / "prepared", split="val", predictions=answers, kind="masks", out=folder / name
        )
    return dataclasses.replace(inputs, decision=None, names=NAMES, made_at=HOSTILE, shown=30)


def render(inputs, out):
    page = render_referring(inputs, out)
    return page, page.read_text(encoding="utf-8")


def test_the_page_says_everything(boxes, tmp_path):
    _, text = render(boxes, tmp_path / "out")
    reader = assert_harmless(text)
    words = " ".join(reader.text)
    for piece in (
        *("new", "beside", "old", "Promote", "Accuracy at IoU .50", "Words of the expression"),
        *("Others of the same category in the image", "Size of the region", "Most changed", "Random"),
        *("Who finds the same expressions", "BCa bootstrap", "referring-boxes/1"),
    ):
        assert piece in words, piece
    assert reader.count("header", "is-promote") == 1
    assert reader.count("details", "shot") == 18 + words.count("I can not see that")
    assert reader.count("image") <= 10
    assert reader.count("figure") == 5


def test_the_directory_is_committed_with_its_twin(boxes, tmp_path):
    page, _ = render(boxes, tmp_path / "out")
    manifest = verify_directory(page.parent, schema=REPORT_SCHEMA)
    assert manifest.provenance["evaluations"].keys() == {"candidate", "champion"}
    with (page.parent / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["metric"]: row for row in csv.DictReader(stream)}
    row = rows["ref_box.mean_iou"]
    assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    assert float(row["difference"]) == pytest.approx(float(row["value"]) - float(row["other"]))
    again, _ = render(boxes, tmp_path / "again")
    assert verify_directory(again.parent).sha256 == manifest.sha256


def test_one_model_without_images(boxes, tmp_path):
    alone = dataclasses.replace(boxes, champion=None, decision=None, images=None, made_at="1 May 2026")
    page, text = render(alone, tmp_path / "out")
    reader = assert_harmless(text)
    words = " ".join(reader.text)
    assert "Most changed" not in words
    assert "Gate" not in words
    assert "1 May 2026" in words
    assert reader.count("header", "is-plain") == 1
    assert reader.count("image") == 0
    assert reader.count("rect") >= 12
    assert verify_directory(page.parent).provenance["evaluations"].keys() == {"candidate"}


def test_expressions_of_nothing(hostile, tmp_path):
    _, text = render(dataclasses.replace(hostile, names=("new", "old")), tmp_path / "out")
    words = " ".join(Reader(text).text)
    for piece in ("not there", "says: not there", "no region", "N-acc", "no answer"):
        assert piece in words, piece


def test_what_strangers_wrote_stays_text(hostile, tmp_path):
    _, text = render(hostile, tmp_path / "out")
    reader = assert_harmless(text)
    assert {HOSTILE, *NAMES} <= set(reader.text)
    assert HOSTILE not in text
    assert any("\\x00" in piece for piece in reader.text)
    assert "\x00" not in text
    assert sum("a" * 10_000 in piece for piece in reader.text) >= 1
    assert all(
        attributes.get("dir") == "auto"
        for tag, attributes in reader.tags
        if "said" in (attributes.get("class") or "").split()
    )


@needs_browser
def test_the_browser_would_notice(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(f"<!doctype html><title>x</title>{HOSTILE}")
    opened = open_page(page, tmp_path)
    assert 'data-ran="' in opened.dom
    assert "http://evil.test/x" in opened.requests


@needs_browser
def test_nothing_runs_and_nothing_leaves(hostile, tmp_path):
    page, _ = render(hostile, tmp_path / "out")
    opened = open_page(page, tmp_path)
    assert opened.requests == []
    assert "data-ran" not in opened.dom.partition("<head>")[0]
    assert not re.search(r"<(script|img|iframe|object|embed)\b", opened.dom)
    assert opened.dom.count("<details") == opened.dom.count("</details>") > 0
    assert opened.dom.rstrip().endswith("</html>")
    body, _, footer = opened.dom.partition("<footer>")
    assert "Definitions" in footer
    assert body.count("<section") == body.count("</section>") >= 5


@needs_browser
def test_an_honest_page_needs_no_network(boxes, tmp_path):
    page, _ = render(boxes, tmp_path / "out")
    opened = open_page(page, tmp_path)
    assert opened.requests == []
    assert opened.title == "Referring expressions: new and old"
