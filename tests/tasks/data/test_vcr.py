"""VCR's tokens as turns: objects are counted from 0 there, and only those that are cited are kept."""

import json

import numpy as np
import pytest

from tasks.data.polygon_fill import fill_polygon
from tasks.data.region_records import RegionMark
from tasks.data.rle import decode_mask
from tasks.data.vcr import WHY, read_vcr
from tasks.errors import DataError

METADATA = {
    "width": 8,
    "height": 6,
    "boxes": [[0, 0, 3, 3, 0.9], [1, 1, 5, 5, 0.8], [4, 0, 8, 4, 0.7]],
    "segms": [[], [[[1, 1], [4, 1], [4, 4]], [[1, 4], [2, 4]]], [[[4, 0], [7, 0], [7, 3]]]],
}
LINE = {
    "objects": ["person", "dog", "car"],
    "img_fn": "film/a.jpg",
    "metadata_fn": "film/a.json",
    "annot_id": "train-0",
    "question": ["Why", "is", [2], "near", [0, 2], "?"],
    "answer_choices": [
        ["No", "."],
        ["Because", [0], "did", "n't", "see", "3", "(", "or", "4", ")", "cars", "."],
    ],
    "answer_label": 1,
    "rationale_choices": [["It", "is", "so", ",", "<image>", "."]],
    "rationale_label": 0,
}


def written(folder, line=None, metadata=None):
    (folder / "images/film").mkdir(parents=True, exist_ok=True)
    (folder / "images/film/a.json").write_text(json.dumps(METADATA | (metadata or {})))
    path = folder / "train.jsonl"
    path.write_text(json.dumps(LINE | (line or {})) + "\n")
    return path, folder / "images"


def test_question_answer_and_reason(tmp_path):
    (sample,) = read_vcr(*written(tmp_path), dataset="vcr", split="train")
    assert (sample.dataset, sample.split, sample.sample_id) == ("vcr", "train", "train-0")
    assert (sample.file, sample.size) == ("film/a.jpg", (6, 8))
    assert [region.label for region in sample.regions] == ["person", "car"]  # the dog is not cited
    question, answer, why, reason = sample.turns
    assert question.parts == ("Why is ", RegionMark(1), " near ", RegionMark(0), " and ", RegionMark(1), "?")
    assert answer.parts == ("Because ", RegionMark(0), " didn't see 3 (or 4) cars.")
    assert why.parts == (WHY,)
    assert reason.parts == ("It is so, <image>.",)
    assert [turn.role for turn in sample.turns] == ["user", "assistant"] * 2


def test_masks_are_filled_as_their_makers_do(tmp_path):
    (sample,) = read_vcr(*written(tmp_path, {"question": [[1]]}), dataset="vcr", split="train")
    person, dog = sample.regions
    assert person.mask is None  # has no outline
    assert person.box_xyxy == (0.0, 0.0, 3.0, 3.0)
    expected = fill_polygon([(1, 1), (4, 1), (4, 4)], 6, 8) | fill_polygon([(1, 4), (2, 4)], 6, 8)
    np.testing.assert_array_equal(decode_mask(dog.mask), expected)


@pytest.mark.parametrize(
    ("line", "metadata", "message"),
    [
        ({"question": [[3], "?"]}, {}, r"cites object \[3\]; there are 3, counted from 0"),
        ({"question": [[-1], "?"]}, {}, r"cites object \[-1\]"),
        ({"question": [["0"], "?"]}, {}, r"cites object \['0'\]"),
        ({"question": [[], "?"]}, {}, r"cites object \[\]"),
        ({"question": [3]}, {}, "a token must be text or a list of objects, got '3'"),
        ({"question": "x"}, {}, "a line must have 'question' of type list"),
        ({"answer_label": 2}, {}, "answer_label 2 is not among 2 choices"),
        ({"rationale_label": -1}, {}, "rationale_label -1 is not among 1 choices"),
        ({"answer_label": None}, {}, "a line must have 'answer_label' of type int"),
        ({"metadata_fn": "../a.json"}, {}, "metadata_fn must stay inside the dataset"),
        ({"metadata_fn": "film/b.json"}, {}, "cannot be read: No such file"),
        ({"img_fn": "../a.jpg"}, {}, "file '../a.jpg' has an empty part"),
        (
            {"objects": ["person", 3, "car"], "question": [[1]]},
            {},
            "object 1: its name must be text, got '3'",
        ),
        ({}, {"boxes": []}, "metadata has 0 boxes and 3 outlines of 3 objects"),
        (
            {},
            {"boxes": [[0, 0, 3], [], []]},
            r"object 0: its box must be 4 corners and a score, got \[0, 0, 3\]",
        ),
        (
            {},
            {"boxes": [[0, 0, 30, 3, 1], *METADATA["boxes"][1:]]},
            "object 0: bbox .* outside the image of 8x6",
        ),
        (
            {},
            {"segms": [[[[0, 0], [50, 0], [2, 2]]], [], []]},
            "object 0: its outline leaves the image of 8x6",
        ),
        ({}, {"segms": [[[[0, 0, 0]]], [], []]}, "object 0: "),
        ({}, {"segms": [[3], [], []]}, "object 0: "),
        ({}, {"width": "8"}, "metadata must have 'width' of type int"),
        (
            {},
            {"width": 10**6, "height": 10**6},
            "film/a.json: mask size must be 1 to 268435456 pixels, got 1000000x1000000",
        ),
        ({}, {"height": 0}, "film/a.json: mask size must be 1 to 268435456 pixels, got 8x0"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, metadata, message):
    path, images = written(tmp_path, line, metadata)
    with pytest.raises(DataError, match=message) as caught:
        read_vcr(path, images, dataset="vcr", split="train")
    assert caught.value.obj in (f"{path} line 1", str(images / "film/b.json"))
