"""Which expressions are shown, and what is drawn of them."""

import dataclasses

import numpy as np
import pytest

from tasks.data.referring_predictions import ReferringAnswer
from tasks.errors import DataError, UnavailableError
from tasks.report import referring_gallery as gallery
from tasks.report.referring_sources import read_sources
from tests.tasks.report.referring_pages import make_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("boxes"), "boxes", noises=(0.15, 0.3))


@pytest.fixture(scope="module")
def sources(inputs):
    return read_sources(inputs)


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("masks"), "masks", absent=1, noises=(0.3, 0.1))


def test_the_worst_come_first(sources):
    ids = gallery.worst_first(sources, count=100)
    table = sources.models[0].table
    assert len(ids) + len(gallery.unanswered(sources, count=100)) == 30
    assert (np.diff(table.loc[ids, "iou"]) >= 0).all()
    assert gallery.worst_first(sources, count=3) == ids[:3]


def test_what_was_not_answered_is_apart(sources):
    ids = gallery.unanswered(sources, count=100)
    assert all(sources.models[0].answers[number].boxes_xyxy is None for number in ids)
    assert not set(ids) & set(gallery.worst_first(sources, count=100))


def test_the_seed_alone_decides(sources):
    drawn = gallery.at_random(sources, count=10, seed=3)
    assert drawn == gallery.at_random(sources, count=10, seed=3)
    assert drawn != gallery.at_random(sources, count=10, seed=4)
    assert len(set(drawn)) == 10
    assert sorted(gallery.at_random(sources, count=99, seed=3)) == list(sources.records)


def test_the_most_changed_come_first(inputs, sources):
    ids = gallery.most_changed(sources, count=100)
    change = gallery.changes(sources).loc[ids].abs().to_numpy()
    assert (np.diff(change) <= 0).all()
    assert change.min() > 0
    alone = read_sources(dataclasses.replace(inputs, champion=None, decision=None))
    assert gallery.most_changed(alone, count=5) == []


def test_cards_show_truth_and_answers(inputs, sources):
    cards = gallery.build_cards(sources, list(sources.records), images=inputs.images)
    assert len(cards) == 30
    assert len(gallery.photographs_of(cards)) == 10
    for number, card in cards.items():
        new = card.panels[0]
        row = sources.models[0].rows[number]
        assert (new.name, new.is_right) == ("new", bool(row["right_50"]))
        assert card.iou == row["iou"]
        assert card.change == pytest.approx(row["iou"] - sources.models[1].rows[number]["iou"])
        if row["outcome"] == "answered":
            assert new.finding == f"IoU {row['iou']:.2f}"
            assert [shape.kind for shape in new.shapes] == ["right" if new.is_right else "wrong"]
        else:
            assert (new.finding, new.shapes, new.text) == ("no answer", (), "I can not see that.")
    left, top, right, bottom = sources.records[1].regions[0].box_xyxy
    corners = cards[1].true[0].rings[0]
    assert corners.tolist()[0] == [2 * left, 2 * top]
    assert corners.tolist()[2] == [2 * right, 2 * bottom]


def test_a_box_may_lie_anywhere(sources):
    far = ReferringAnswer(
        expression_id=1,
        boxes_xyxy=((-9e8, -9e8, 9e8, 9e8), (5.0, 5.0, 1.0, 1.0), *[(0.0, 0.0, 1.0, 1.0)] * 40),
    )
    model = sources.models[0]
    changed = dataclasses.replace(model, answers={**model.answers, 1: far})
    cards = gallery.build_cards(
        dataclasses.replace(sources, models=(changed, sources.models[1])), [1], images=None
    )
    shapes = cards[1].panels[0].shapes
    assert [shape.kind for shape in shapes[:-1]] == ["further"] * 9
    assert np.abs(shapes[-1].rings[0]).max() <= 2 * (64 + 4)
    assert cards[1].photograph is None
    assert gallery.photographs_of(cards) == {}


def test_masks_and_nothing(masks):
    sources = read_sources(masks)
    cards = gallery.build_cards(sources, list(sources.records), images=None)
    findings = {card.panels[0].finding: card for card in cards.values() if not card.record.regions}
    assert findings["says: not there"].panels[0].is_right
    assert not findings["false alarm"].panels[0].is_right
    assert findings["false alarm"].panels[0].shapes
    assert findings["says: not there"].true == ()
    seen = [card for card in cards.values() if card.record.regions]
    assert all(card.true[0].kind == "truth" and card.true[0].path.startswith("M") for card in seen)


def test_long_answers_are_cut(sources):
    model = sources.models[0]
    long = ReferringAnswer(expression_id=1, boxes_xyxy=(), text="a" * 4000)
    changed = dataclasses.replace(model, answers={**model.answers, 1: long})
    card = gallery.build_cards(dataclasses.replace(sources, models=(changed,)), [1], images=None)[1]
    assert card.panels[0].text == "a" * 1500 + " … and 2,500 characters more"
    assert card.change is None


def test_an_absent_image_is_named(sources, inputs, tmp_path):
    with pytest.raises(UnavailableError) as caught:
        gallery.build_cards(sources, [1], images=tmp_path)
    assert caught.value.obj == str(tmp_path / "0001.png")
    assert caught.value.hint == "Name the folder that holds 0001.png, or leave the images out."
    (tmp_path / "0001.png").write_text("x")
    with pytest.raises(DataError, match="not an image"):
        gallery.build_cards(sources, [1], images=tmp_path)
