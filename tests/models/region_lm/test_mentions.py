"""Regions in a text become the placeholders of a model, and boxes become regions."""

import numpy as np
import pytest

from models.region_lm.conversation import Token, Turn
from models.region_lm.mentions import Mention, Utterance, box_masks, place
from models.region_lm.tokens import IMAGE, MASK, POSITION


def ask(*parts) -> Utterance:
    return Utterance(role="user", parts=parts)


def test_a_mention_becomes_the_slots_of_the_model():
    said = [ask(Token(IMAGE), "region1", Mention(1), " and ", Mention(0), Mention(1))]
    turns, order = place(said, (MASK, POSITION), num_regions=2)
    pair = (Token(MASK), Token(POSITION))
    assert turns == (Turn(role="user", parts=(Token(IMAGE), "region1", *pair, " and ", *pair, *pair)),)
    assert order == (1, 0, 1)
    turns, order = place(said, (MASK,), num_regions=3)
    assert turns[0].parts.count(Token(MASK)) == 3
    assert Token(POSITION) not in turns[0].parts
    assert order == (1, 0, 1)


def test_text_that_looks_like_a_tag_stays_text():
    turns, order = place([ask("<mask>")], (MASK,), num_regions=1)
    assert turns[0].parts == ("<mask>",)
    assert order == ()


@pytest.mark.parametrize(
    ("said", "slots", "message"),
    [
        (ask(Mention(2)), (MASK,), "region 2 is mentioned, but the sample has 2"),
        (ask(Mention(-1)), (MASK,), "region -1 is mentioned"),
        (ask(Mention(0)), (), "region 0 is mentioned, but this model sees no regions"),
        (ask(Token(MASK)), (MASK,), r"placeholder '<mask>' names no region: write Mention\(index\)"),
        (ask(Token(MASK)), (), "placeholder '<mask>' names no region"),
        (
            Utterance(role="assistant", parts=(Mention(0),)),
            (MASK,),
            "region 0 is mentioned by the assistant, who has only words",
        ),
    ],
)
def test_mentions_that_cannot_be_are_refused(said, slots, message):
    with pytest.raises(ValueError, match=message):
        place([said], slots, num_regions=2)


def test_boxes_fill_every_pixel_that_they_touch():
    masks = box_masks(np.array([[1.0, 0.0, 3.0, 2.0], [0.5, 1.5, 1.2, 1.6]]), height=3, width=4)
    assert masks.astype(int).tolist() == [
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]],
    ]


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 5, 1],
        [0, 0, 1, 4],
        [-1, 0, 1, 1],
        [1, 1, 1, 2],
        [2, 0, 1, 1],
        [0, np.nan, 1, 1],
        [0, 0, np.inf, 1],
    ],
)
def test_a_box_outside_the_image_is_named(box):
    boxes = np.array([[0, 0, 1, 1], box], dtype=np.float64)
    with pytest.raises(ValueError, match=r"region 1: box \[.*\] must lie in the image of 3 x 4 pixels"):
        box_masks(boxes, height=3, width=4)
    with pytest.raises(ValueError, match=r"boxes must have the shape \(R, 4\), got \(4,\)"):
        box_masks(boxes[0], height=3, width=4)
