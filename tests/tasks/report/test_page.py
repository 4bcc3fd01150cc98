"""The page as a browser would meet it: whole, without network, without anybody's markup but ours."""

import csv
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError, UnavailableError
from tasks.report.page import REPORT_SCHEMA, render_report
from tasks.report.sources import ReportInputs
from tests.tasks.report.candidate import make_candidate

HOSTILE = (
    """<script>alert(1)</script>"'><img src=x onerror=alert(2)> [x](http://evil.test) ![](//y.test) @z"""
)


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str, **wanted: str) -> int:
        return sum(
            name == tag and all(value in (attributes.get(key) or "").split() for key, value in wanted.items())
            for name, attributes in self.tags
        )


def assert_harmless(text: str) -> None:
    """No script, no handler, no address outside the file, and a policy that says the same to the browser."""
    reader = Reader(text)
    for tag, attributes in reader.tags:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base", "img"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "srcset", "action", "xlink:href", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,", "data:,"))
    assert not re.search(r"url\((?!#clip-)|@import", text)
    policies = [item.get("content") for tag, item in reader.tags if item.get("http-equiv")]
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ]


def test_the_page_says_everything_and_needs_no_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    reader, words = Reader(text), " ".join(Reader(text).text)
    assert_harmless(text)
    anchors = {attributes["id"] for _, attributes in reader.tags if attributes.get("id")}
    links = {item["href"][1:] for tag, item in reader.tags if tag in {"a", "use"}}
    assert links <= anchors
    assert {"metrics", "gate", "curves", "sizes", "training", "worst", "random", "lineage"} <= anchors
    for piece in (
        "segmenter",
        "version 2",
        "compared with champion 3",
        "Matched IoU",
        "with uncommitted changes",
    ):
        assert piece in words


def test_fewer_images_than_asked_for_are_all_shown_and_decoded_once(page: Path) -> None:
    reader = Reader(page.read_text(encoding="utf-8"))
    assert reader.count("details", **{"class": "shot"}) == 10
    assert reader.count("image") == 5
    assert "All 5 images, worst first" in reader.text


def test_only_as_many_images_as_asked_for(tmp_path: Path, challenger: ReportInputs) -> None:
    page = render_report(dataclasses.replace(challenger, images=2), tmp_path / "out")
    reader = Reader(page.read_text(encoding="utf-8"))
    assert reader.count("details", **{"class": "shot"}) == 4
    assert "The 2 worst images" in reader.text
    assert "2 random images" in reader.text


def test_twins_lie_beside_the_page(page: Path, challenger: ReportInputs) -> None:
    manifest = verify_directory(page.parent, schema=REPORT_SCHEMA)
    pictures = {name for name in manifest.files if name.endswith(".png")}
    assert {"worst.png", "charts/precision-recall-mask.png", "charts/training-loss.png"} <= pictures
    for name in pictures:
        with Image.open(page.parent / name) as picture:
            picture.verify()
    with (page.parent / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["metric"]: row for row in csv.DictReader(stream)}
    assert float(rows["mask.matched_iou"]["low"]) <= float(rows["mask.matched_iou"]["value"])
    assert float(rows["mask.ap50"]["champion"]) >= 0.0


def test_equal_inputs_give_equal_bytes(tmp_path: Path, page: Path, challenger: ReportInputs) -> None:
    again = render_report(challenger, tmp_path / "again")
    assert verify_directory(again.parent).sha256 == verify_directory(page.parent).sha256


def test_without_champion_and_history(tmp_path: Path, champion: ReportInputs) -> None:
    inputs = dataclasses.replace(champion, history=None, version=None, made_at="21 November 2026")
    text = render_report(inputs, tmp_path / "out").read_text(encoding="utf-8")
    reader = Reader(text)
    assert_harmless(text)
    assert "There is no champion yet." in reader.text
    assert not reader.count("section", id="training")
    assert not reader.count("td", **{"class": "before"})
    assert "21 November 2026" in " ".join(reader.text)


def test_a_model_that_finds_nothing(tmp_path: Path, world: Path, champion: ReportInputs) -> None:
    inputs = make_candidate(tmp_path, world, is_blind=True, champion=champion.evaluation)
    text = render_report(inputs, tmp_path / "out").read_text(encoding="utf-8")
    reader = Reader(text)
    assert_harmless(text)
    assert "The evidence cannot be judged, so nothing is promoted. The champion stays." in reader.text
    assert reader.count("header", **{"class": "is-reject"}) == 1
    regions = sum(line.count('"region_id"') for line in inputs.records.read_text().splitlines())
    assert reader.count("path", **{"class": "miss"}) == regions
    assert not reader.count("path", **{"class": "hit"})


def test_hostile_names_stay_text(tmp_path: Path, world: Path) -> None:
    inputs = make_candidate(tmp_path, world, rename=lambda name: f"{HOSTILE} {name}")
    inputs = dataclasses.replace(
        inputs,
        model=HOSTILE,
        version=HOSTILE,
        made_at=HOSTILE,
        lineage={HOSTILE: HOSTILE, "config": {"a": HOSTILE}},
    )
    text = render_report(inputs, tmp_path / "out").read_text(encoding="utf-8")
    assert_harmless(text)
    assert HOSTILE in Reader(text).text
    assert HOSTILE not in text


def test_hostile_file_name(tmp_path: Path, world: Path) -> None:
    inputs = make_candidate(tmp_path, world)
    name = "val/\"><script>alert(1)<b onerror='x' .jpg"
    records = inputs.records.read_text()
    first = re.search(r'"file":"(val/[^"]+)"', records)
    assert first is not None
    inputs.records.write_text(records.replace(first[1], name.replace('"', '\\"')))
    dataset = tmp_path / "dataset"
    (dataset / name).parent.mkdir(parents=True)
    for path in (world / "val").iterdir():
        (dataset / "val" / path.name).write_bytes(path.read_bytes())
    hostile = dataset / "val" / name.removeprefix("val/")
    (dataset / first[1]).rename(hostile)
    page = render_report(dataclasses.replace(inputs, dataset=dataset), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert_harmless(text)
    assert name in Reader(text).text


def test_an_absent_image_is_named_and_nothing_is_written(tmp_path: Path, challenger: ReportInputs) -> None:
    with pytest.raises(UnavailableError, match=r"val_00\d\.jpg: is missing\. Run `groundwork data pull`\."):
        render_report(dataclasses.replace(challenger, dataset=tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_decision_of_another_model_is_refused(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    mixed = dataclasses.replace(challenger, decision=champion.decision)
    with pytest.raises(
        IntegrityError, match=r"is about model [0-9a-f]{12}, the evaluation about [0-9a-f]{12}"
    ):
        render_report(mixed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
