"""A record holds only what a model can be trained on; text is text, whatever it looks like."""

import numpy as np
import pytest

from tasks.data.records import MaskRle
from tasks.data.region_records import (
    MAX_REGIONS,
    RegionMark,
    RegionSample,
    RegionTurn,
    SampleRegion,
    parse_marks,
)
from tasks.data.rle import encode_mask

SIZE = (6, 8)
MASK = encode_mask(np.eye(6, 8, dtype=bool))
REGION = SampleRegion(box_xyxy=(1.0, 2.0, 4.0, 5.0), mask=MASK, label="cup")
ASK = RegionTurn(role="user", parts=("What is ", RegionMark(0), "?"))
ANSWER = RegionTurn(role="assistant", parts=("A cup.",))


def sample(**changes):
    values = {
        "dataset": "d",
        "split": "train",
        "sample_id": "1",
        "file": "a/b.jpg",
        "size": SIZE,
        "regions": (REGION,),
        "turns": (ASK, ANSWER),
    }
    return RegionSample(**(values | changes))


def test_a_sample_may_end_with_a_question_and_have_no_image():
    assert sample(turns=(ASK,)).turns == (ASK,)
    words = RegionTurn(role="user", parts=("Hello",))
    assert sample(file=None, size=None, regions=(), turns=(words, ANSWER)).file is None
    assert sample(size=None, regions=(), turns=(words, ANSWER)).size is None
    assert ASK.marks == (0,)
    assert ANSWER.marks == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": ""}, "a sample must have a dataset and an id"),
        ({"file": "../x.jpg"}, r"file '../x.jpg' has an empty part, '.' or '..'"),
        ({"file": "/x.jpg"}, "file '/x.jpg' is empty, absolute, or has a backslash"),
        ({"size": (0, 8)}, r"size must be positive, and that of an image, got \(0, 8\) of a/b.jpg"),
        ({"file": None}, r"size must be positive, and that of an image, got \(6, 8\) of None"),
        ({"size": None}, "a sample with regions must have an image of known size"),
        ({"size": (8, 6)}, "region 1: the mask has 8x6 pixels, the image 6x8"),
        ({"regions": (REGION,) * 101}, "a sample may have 100 regions, got 101"),
        ({"turns": ()}, "a sample must have a turn"),
        ({"turns": (ANSWER, ASK)}, "turn 1 is of the assistant; user and assistant take turns"),
        ({"turns": (ASK, ASK)}, "turn 2 is of the user"),
        ({"regions": ()}, "turn 1 cites <region1>, the sample has 0"),
        (
            {"turns": (RegionTurn(role="user", parts=(RegionMark(-1),)),)},
            "turn 1 cites <region0>, the sample has 1",
        ),
        (
            {"regions": (SampleRegion(box_xyxy=(0.0, 0.0, 8.5, 6.0)),)},
            r"region 1: box \(0.0, 0.0, 8.5, 6.0\) lies outside the image of 8x6",
        ),
    ],
)
def test_bad_samples_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        sample(**changes)


def test_boxes_of_masks():
    assert SampleRegion(mask=MASK).box() == (0.0, 0.0, 6.0, 6.0)
    assert REGION.box() == (1.0, 2.0, 4.0, 5.0)


def test_a_hundred_regions_are_allowed():
    assert len(sample(regions=(REGION,) * MAX_REGIONS).regions) == 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "a region must have a box, a mask, or both"),
        ({"mask": encode_mask(np.zeros(SIZE, dtype=bool))}, "the mask is empty: no pixel belongs to it"),
        ({"mask": MaskRle(height=6, width=8, counts="!")}, "counts hold a character outside"),
        ({"box_xyxy": (3.0, 0.0, 3.0, 1.0)}, "box_xyxy must be finite with left < right"),
        ({"box_xyxy": (0.0, 0.0, float("nan"), 1.0)}, "box_xyxy must be finite"),
        ({"box_xyxy": (0.0, 0.0, 1.0, 1.0), "source": "guess"}, "source must be 'truth' or 'proposal'"),
        ({"box_xyxy": (0.0, 0.0, 1.0, 1.0), "label": "\ud800"}, "text holds half a character"),
    ],
)
def test_bad_regions_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SampleRegion(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"role": "system", "parts": ("x",)}, "role must be 'user' or 'assistant', got 'system'"),
        ({"role": "user", "parts": ()}, "a turn of the user says nothing"),
        ({"role": "assistant", "parts": (" ", "\n")}, "a turn of the assistant says nothing"),
        ({"role": "user", "parts": ("x" * 100_001,)}, "text may have 100000 characters, got 100001"),
        ({"role": "user", "parts": ("a\udfff",)}, r"text holds half a character: 'a\\udfff'"),
    ],
)
def test_bad_turns_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        RegionTurn(**values)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("What is <region1>?", ("What is ", RegionMark(0), "?")),
        ("<region2><region1>", (RegionMark(1), RegionMark(0))),
        ("<region02> x", (RegionMark(1), " x")),
        ("", ()),
        *(
            (text, (text,))
            for text in ("plain", "<region>", "<Region1>", "<region 1>", "<region1", "region1>")
        ),
        *(
            (text, (text,))
            for text in (
                "<image>",
                "</s>",
                "<mask><pos>",
                "{region:0}",
                "<regionX>",
                "<region\N{FULLWIDTH DIGIT ONE}>",
                "<s>\n</s>",
            )
        ),
    ],
)
def test_only_marks_are_marks(text, parts):
    assert parse_marks(text, 2) == parts


@pytest.mark.parametrize("number", ["0", "3", "999999999", "000"])
def test_a_mark_out_of_range_is_named(number):
    with pytest.raises(ValueError, match=f"cites <region{number}>, the sample has 2 regions"):
        parse_marks(f"Is <region1> near <region{number}>?", 2)
