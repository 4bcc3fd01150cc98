"""The comparison's page, read as text; ``test_comparison_in_browser`` opens it."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from tasks.data.commit import verify_directory
from tasks.errors import UnavailableError
from tasks.report.comparison import COMPARISON_SCHEMA, NUMBERS, render_comparison
from tasks.report.comparison_sources import IntervalRule
from tasks.report.comparison_tables import ClassLine
from tasks.report.sources import ReportInputs
from tests.tasks.report.candidate import make_candidate
from tests.tasks.report.comparison_case import compared
from tests.tasks.report.test_page import HOSTILE, Reader, assert_harmless


@pytest.fixture(scope="module")
def compared_page(
    tmp_path_factory: pytest.TempPathFactory, challenger: ReportInputs, champion: ReportInputs
) -> Path:
    """The challenger beside the champion; tests only read it."""
    return render_comparison(compared(challenger, champion), tmp_path_factory.mktemp("compared") / "out")


def test_the_page_says_everything_and_needs_no_network(compared_page: Path) -> None:
    text = compared_page.read_text(encoding="utf-8")
    reader, words = Reader(text), " ".join(Reader(text).text)
    assert_harmless(text)
    anchors = [attributes["id"] for _, attributes in reader.tags if attributes.get("id")]
    assert len(anchors) == len(set(anchors))
    links = {item["href"][1:] for tag, item in reader.tags if tag in {"a", "use"}}
    assert links <= set(anchors)
    sections = {"metrics", "curves", "confusion", "calibration", "sizes", "classes", "changes"}
    assert sections | {"found", "missed", "false-alarms"} <= set(anchors)
    for piece in ("new model", "old model", "expected calibration error", "arXiv 1706.04599", "A \u2212 B"):
        assert piece in words
    pictures = [item for tag, item in reader.tags if tag == "svg" and item.get("role") == "img"]
    assert pictures
    assert all(item.get("aria-label") for item in pictures)


def test_a_matrix_for_each_model(compared_page: Path) -> None:
    reader = Reader(compared_page.read_text(encoding="utf-8"))
    assert reader.count("table", **{"class": "matrix"}) == 2
    assert reader.count("td", **{"class": "void"}) == 2
    assert reader.count("td", **{"class": "right"}) == 6


def test_numbers_for_other_readers(compared_page: Path, challenger: ReportInputs) -> None:
    manifest = verify_directory(compared_page.parent, schema=COMPARISON_SCHEMA)
    assert set(manifest.files) == {"comparison.html", "comparison.json"}
    document = json.loads((compared_page.parent / NUMBERS).read_text())
    metrics = json.loads((challenger.evaluation / "metrics.json").read_text())
    assert document["candidate"]["model_sha256"] == metrics["model_sha256"]
    assert manifest.provenance["hashes"] == document["hashes"]


def test_equal_inputs_give_equal_bytes(
    tmp_path: Path, compared_page: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    again = render_comparison(compared(challenger, champion), tmp_path / "again")
    assert verify_directory(again.parent).sha256 == verify_directory(compared_page.parent).sha256


def test_only_as_many_pictures_as_asked_for(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    page = render_comparison(compared(challenger, champion, images=2), tmp_path / "out")
    reader = Reader(page.read_text(encoding="utf-8"))
    assert reader.count("details", **{"class": "shot"}) == 2
    assert reader.count("figure", **{"class": "crop"}) <= 12
    assert "The 2 images that changed most" in reader.text


def test_the_gate_s_decision_stands_at_the_top(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    inputs = compared(challenger, champion, decision=challenger.decision, made_at="21 November 2026")
    text = render_comparison(inputs, tmp_path / "out").read_text(encoding="utf-8")
    decision = json.loads(challenger.decision.read_text())
    reader = Reader(text)
    assert_harmless(text)
    assert reader.count("header", **{"class": f"is-{decision['verdict']}"}) == 1
    assert set(decision["reasons"]) <= set(reader.text)
    assert "21 November 2026" in " ".join(reader.text)


def test_a_model_beside_itself(tmp_path: Path, champion: ReportInputs) -> None:
    rule = IntervalRule(method="bca", resamples=100)
    text = render_comparison(compared(champion, champion, intervals=rule), tmp_path / "out").read_text(
        "utf-8"
    )
    reader = Reader(text)
    assert_harmless(text)
    words = " ".join(reader.text)
    assert "A and B cannot be told apart on these 5 images: every interval holds zero." in words
    assert "Both models have the same F1 on every image." in words
    assert "BCa bootstrap" in words


def test_a_model_that_finds_nothing(tmp_path: Path, world: Path, champion: ReportInputs) -> None:
    blind = make_candidate(tmp_path, world, is_blind=True)
    text = render_comparison(compared(blind, champion), tmp_path / "out").read_text(encoding="utf-8")
    reader = Reader(text)
    assert_harmless(text)
    assert "A nowhere and B at score" in " ".join(reader.text)
    document = json.loads((tmp_path / "out" / NUMBERS).read_text())
    assert document["candidate"]["best_cut"] is None
    assert document["candidate"]["calibration"] is None
    assert document["regions_found"]["only_candidate"] == 0


def test_hostile_names_stay_text(tmp_path: Path, world: Path) -> None:
    mine = make_candidate(tmp_path / "mine", world, rename=lambda name: f"{HOSTILE} {name}")
    inputs = compared(mine, mine, made_at=HOSTILE)
    side = dataclasses.replace(inputs.candidate, name=HOSTILE)
    page = render_comparison(dataclasses.replace(inputs, candidate=side), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert_harmless(text)
    assert HOSTILE in Reader(text).text
    assert HOSTILE not in text


def test_many_categories_are_listed_and_the_middle_is_folded(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix of three stands in for one of eighty: the limits are moved instead of the data."""
    monkeypatch.setattr("tasks.report.comparison_tables.MOST_CATEGORIES", 2)
    monkeypatch.setattr("tasks.report.comparison_tables.OPEN_CLASSES", 1)
    lines = [
        ClassLine(name=f"class {number}", regions=1, values=((0.5, 0.1 * number), (0.5, 0.5)))
        for number in range(9)
    ]
    monkeypatch.setattr("tasks.report.comparison_numbers.class_lines", lambda _: lines)
    page = render_comparison(compared(challenger, champion), tmp_path / "out")
    reader = Reader(page.read_text(encoding="utf-8"))
    assert not reader.count("table", **{"class": "matrix"})
    assert {"Taken for another category", "Missed and false alarms"} <= set(reader.text)
    assert "7 categories in between" in reader.text


def test_an_absent_image_is_named_and_nothing_is_written(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    with pytest.raises(UnavailableError, match=r"val_00\d\.jpg: is missing\. Run `groundwork data pull`\."):
        render_comparison(compared(challenger, champion, dataset=tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_without_a_region(tmp_path: Path, world: Path) -> None:
    """Whatever a model says there is a false alarm, and no metric has a value."""
    dataset = tmp_path / "empty"
    shutil.copytree(world, dataset)
    path = dataset / "annotations" / "instances_val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    mine = make_candidate(tmp_path / "mine", dataset, seed=1, care=0.1)
    theirs = make_candidate(tmp_path / "theirs", dataset, seed=2, care=0.1)
    text = render_comparison(compared(mine, theirs), tmp_path / "out").read_text(encoding="utf-8")
    reader = Reader(text)
    assert_harmless(text)
    anchors = {attributes.get("id") for _, attributes in reader.tags}
    assert not {"curves", "sizes", "classes"} & anchors
    assert {item["href"][1:] for tag, item in reader.tags if tag == "a"} <= anchors
    assert "false alarms" in " ".join(reader.text)
