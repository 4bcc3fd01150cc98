"""LLaVA's conversations: the one mark of the image goes, everything else stays as it is written."""

import json

import pytest

from tasks.data.llava_files import read_llava_samples
from tasks.errors import DataError


def entry(*values, **changes):
    turns = [{"from": ("human", "gpt")[number % 2], "value": value} for number, value in enumerate(values)]
    return {"id": "000033", "image": "coco/a.jpg", "conversations": turns} | changes


def written(folder, *rows):
    path = folder / "llava.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ("<image>\nWhat is this?", "What is this?"),
        ("What is this?\n<image>", "What is this?"),
        ("<image>What is this?", "What is this?"),
        ("Look at <image> now", "Look at  now"),
        ("A\n<image>\nB", "A\nB"),
        ("<image>\nA </s> <region1> <mask>", "A </s> <region1> <mask>"),
    ],
)
def test_the_mark_is_taken_out_of_the_question(tmp_path, first, text):
    path = written(tmp_path, entry(first, "An <image> of </s> a cup.", "More?", "No."))
    (sample,) = read_llava_samples(path, dataset="llava")
    assert [turn.parts for turn in sample.turns] == [
        (text,),
        ("An <image> of </s> a cup.",),
        ("More?",),
        ("No.",),
    ]
    assert (sample.file, sample.size, sample.regions) == ("coco/a.jpg", None, ())
    assert sample.sample_id == "1/000033"


def test_words_alone_and_repeated_ids(tmp_path):
    rows = [entry("Hello", "Hi"), entry("<image>\nx", "y"), entry("<image>\nx", "y", id=33)]
    del rows[0]["image"]
    samples = read_llava_samples(written(tmp_path, *rows), dataset="llava")
    assert [sample.file for sample in samples] == [None, "coco/a.jpg", "coco/a.jpg"]
    assert len({sample.sample_id for sample in samples}) == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (entry("no mark", "y"), "with an image must have 1 <image> .* got 0 in turns"),
        (entry("<image><image>", "y"), r"with an image must have 1 <image> .* got 2 in turns \[1, 1\]"),
        (entry("<image>\nx", "y", "<image>", "z"), r"got 2 in turns \[1, 3\]"),
        (entry("x", "y", "<image>\nz", "z"), r"got 1 in turns \[3\]"),
        (
            entry("<image>\nx", "y", image=None),
            r"without an image must have 0 <image> .* got 1 in",
        ),
        (entry("<image>\n", "y"), "a turn of the user says nothing"),
        (entry("<image>\nx"), "a conversation must end with an answer, got 1 turns"),
        (entry(), "with an image must have 1 <image>"),
        (entry("<image>\nx", "y", image="../x.jpg"), "image must be a file name, got '../x.jpg'"),
        (entry("<image>\nx", "y", image=3), "image must be a file name, got '3'"),
        (
            entry("x", conversations=[{"from": "system", "value": "x"}]),
            "turn 1 must be from 'human' or",
        ),
        (entry("x", conversations=[{"from": "gpt", "value": "x"}], image=None), "turn 1 is of the assistant"),
        ({"image": "a.jpg"}, "a sample must have 'conversations' of type list"),
    ],
)
def test_bad_entries_are_named(tmp_path, row, message):
    path = written(tmp_path, entry("<image>\nx", "y"), row)
    with pytest.raises(DataError, match=message) as caught:
        read_llava_samples(path, dataset="llava")
    assert caught.value.obj.startswith(f"{path} item 2")
