"""Osprey's lists: what they say is read, and what is wrong is named with file, entry and region."""

import json

import numpy as np
import pytest

from tasks.data.osprey_files import (
    entry_id,
    named,
    read_category_list,
    read_osprey_descriptions,
    read_osprey_samples,
    read_regions,
    read_turns,
)
from tasks.data.region_records import RegionMark
from tasks.data.region_samples import ASK_DETAIL, SHORT_ANSWER, describe_samples
from tasks.data.rle import encode_mask, mask_area
from tasks.errors import DataError

MASK = encode_mask(np.eye(6, 8, dtype=bool)).to_json()
EMPTY = {"size": [6, 8], "counts": [48]}
POLYGON = [[1, 1, 5, 1, 5, 4, 1, 4]]
QUESTION = {"from": "human", "value": "Is <region2> beside <region1>? <image> </s> <region>"}
ANSWER = {"from": "gpt", "value": "Yes, <region2> is. <s>"}


def entry(**changes):
    values = {
        "id": 7,
        "file_name": "COCO_train2014_000000000009.jpg",
        "height": 6,
        "width": 8,
        "annotation": [
            {"bbox": [1, 1, 4, 3], "segmentation": POLYGON},
            {"bbox": [0, 0, 6, 6], "segmentation": MASK},
        ],
        "conversations": [QUESTION, ANSWER],
    }
    return values | changes


def written(folder, *rows, lines=False):
    path = folder / "osprey.json"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    return path


@pytest.mark.parametrize("lines", [False, True])
def test_conversations(tmp_path, lines):
    path = written(tmp_path, entry(), entry(), lines=lines)
    first, second = read_osprey_samples(path, kind="conversation", dataset="osprey", split="x")
    assert (first.dataset, first.split, first.sample_id, second.sample_id) == ("osprey", "x", "1/7", "2/7")
    assert (first.file, first.size) == ("COCO_train2014_000000000009.jpg", (6, 8))
    assert first.turns[0].parts == (
        *("Is ", RegionMark(1), " beside ", RegionMark(0), "? <image> </s> <region>"),
    )
    assert first.turns[1].parts == ("Yes, ", RegionMark(1), " is. <s>")
    assert [region.box_xyxy for region in first.regions] == [(1.0, 1.0, 5.0, 4.0), (0.0, 0.0, 6.0, 6.0)]
    assert mask_area(first.regions[0].mask) == 12
    assert first.regions[1].mask.to_json() == MASK


@pytest.mark.parametrize("kind", ["part", "short_form"])
def test_short_answers_are_asked_for(tmp_path, kind):
    (sample,) = read_osprey_samples(written(tmp_path, entry()), kind=kind, dataset="osprey")
    assert sample.turns[0].parts[-1].endswith(SHORT_ANSWER)
    assert sample.turns[1].parts[-1] == " is. <s>"
    (other,) = read_osprey_samples(written(tmp_path, entry()), kind="lvis", dataset="osprey")
    assert not other.turns[0].parts[-1].endswith(SHORT_ANSWER)


def test_names_of_2014_become_those_of_2017(tmp_path):
    rows = [entry(), entry(file_name="train/x_1.jpg")]
    found = read_osprey_samples(written(tmp_path, *rows), kind="conversation", dataset="o", coco_2017=True)
    assert [sample.file for sample in found] == ["000000000009.jpg", "train/x_1.jpg"]


def test_a_box_need_not_be_told(tmp_path):
    row = entry(annotation=[{"segmentation": MASK}] * 2)
    (sample,) = read_osprey_samples(written(tmp_path, row), kind="conversation", dataset="o")
    assert sample.regions[0].box() == (0.0, 0.0, 6.0, 6.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": "6"}, "a sample must have 'height' of type int"),
        ({"height": 0}, "image size must be positive, got 8x0"),
        ({"file_name": "/etc/x.jpg"}, "file '/etc/x.jpg' is empty, absolute"),
        ({"annotation": None}, "a sample must have 'annotation' of type list"),
        ({"annotation": [3]}, "<region1>: an annotation must be an object, got int"),
        ({"annotation": [{}]}, "<region1>: an annotation must have 'bbox', 'segmentation', or both"),
        ({"annotation": [{"segmentation": EMPTY}]}, "<region1>: the mask is empty"),
        (
            {"annotation": [{"bbox": [0, 0, 2, 2]}, {"bbox": [7, 0, 4, 2]}]},
            r"<region2>: bbox \[7, 0, 4, 2\] lies outside the image of 8x6",
        ),
        ({"annotation": [{"segmentation": [[0, 0, 90, 0, 90, 4]]}]}, "<region1>: a polygon spans x 0 to 90"),
        ({"annotation": [{"bbox": [0, 0, 2, 2]}]}, "turn 1: cites <region2>, the sample has 1 regions"),
        ({"annotation": [{"bbox": [0, 0, 2, 2]}] * 101}, "a sample may have 100 regions, got 101"),
        ({"conversations": []}, "a conversation must end with an answer, got 0 turns"),
        ({"conversations": [QUESTION]}, "a conversation must end with an answer, got 1 turns"),
        ({"conversations": [ANSWER]}, "turn 1 is of the assistant"),
        (
            {"conversations": [QUESTION, {"from": "gpt", "value": " "}]},
            "turn 2: a turn of the assistant says nothing",
        ),
        (
            {"conversations": [{"from": "bot", "value": "x"}]},
            "turn 1 must be from 'human' or 'gpt', got 'bot'",
        ),
        ({"conversations": [{"from": ["gpt"], "value": "x"}]}, "turn 1 must be from 'human' or 'gpt'"),
        ({"conversations": [{"from": "human"}]}, "turn 1 must have 'value' of type str"),
        ({"conversations": ["x"]}, "turn 1 must be an object, got str"),
    ],
)
def test_bad_entries_are_named(tmp_path, changes, message):
    path = written(tmp_path, entry(), entry(**changes))
    with pytest.raises(DataError, match=message) as caught:
        read_osprey_samples(path, kind="conversation", dataset="osprey")
    assert caught.value.obj == f"{path} item 2 (7)"
    assert caught.value.hint == "Correct the file, or make it again."


def described(*texts, **changes):
    row = entry(description=list(texts), **changes)
    del row["conversations"]
    return row


def test_descriptions_are_asked_for_when_samples_are_made(tmp_path):
    path = written(tmp_path, described("<region1>: A cup.", "<region2>:\tA <b>dog</b>: brown."))
    (facts,) = read_osprey_descriptions(path, dataset="osprey")
    assert facts.image_id == "1/7"
    assert [fact.texts for fact in facts.regions] == [("A cup.",), ("A <b>dog</b>: brown.",)]
    asked = set()
    for epoch in range(20):
        (sample,) = describe_samples([facts], seed=0, epoch=epoch, questions=ASK_DETAIL)
        asked.add(sample.turns[0].parts)
    assert len(asked) > len(ASK_DETAIL) - 2


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("<region1>: x",), "'description' has 1 texts, the sample 2 regions"),
        (("<region2>: x", "<region1>: y"), "description 1 must begin '<region1>:', got '<region2>: x'"),
        (("<region1>: x", "y"), "description 2 must begin '<region2>:', got 'y'"),
        (("<region1>: x", 3), "description 2 must begin '<region2>:', got '3'"),
        (("<region1>: x", "<region2>: "), "a text about a region is blank"),
    ],
)
def test_bad_descriptions_are_named(tmp_path, texts, message):
    path = written(tmp_path, described(*texts))
    with pytest.raises(DataError, match=message) as caught:
        read_osprey_descriptions(path, dataset="osprey")
    assert caught.value.obj == f"{path} item 1 (7)"


def listed(**changes):
    values = {
        "file_name": "a.jpg",
        "height": 6,
        "width": 8,
        "categories": ["aerosol_can", "dog:ear"],
        "annotations": [{"segmentation": POLYGON}, {"segmentation": MASK}],
    }
    return values | changes


def test_category_lists(tmp_path):
    (image,) = read_category_list(written(tmp_path, listed()))
    assert (image.file, image.size) == ("a.jpg", (6, 8))
    assert [region.label for region in image.regions] == ["aerosol_can", "dog:ear"]
    assert image.regions[0].box() == (1.0, 1.0, 5.0, 4.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": ["x"]}, r"'categories' must be a text for each of 2 annotations, got \['x'\]"),
        ({"categories": ["x", 3]}, "'categories' must be a text for each"),
        ({"categories": ["x", " "]}, "'categories' must be a text for each"),
        ({"annotations": [{"segmentation": EMPTY}, {"segmentation": MASK}]}, "<region1>: the mask is empty"),
        ({"file_name": "../a.jpg"}, "file '../a.jpg' has an empty part"),
        ({"width": 9}, r"<region2>: mask size is \[6, 8\], the image has \[6, 9\]"),
    ],
)
def test_bad_category_lists_are_named(tmp_path, changes, message):
    path = written(tmp_path, listed(**changes))
    with pytest.raises(DataError, match=message):
        read_category_list(path)


def test_parts_of_files():
    assert entry_id({}, 3) == "3"
    assert named("f item 1", ["x"]) == "f item 1"
    assert named("f item 1", {"file_name": "a.jpg"}) == "f item 1 (a.jpg)"
    assert read_regions([], (6, 8)) == ()
    (first, _) = read_turns([{"from": "human", "value": "a"}, ANSWER], 2, after_question="!")
    assert first.parts == ("a!",)


def test_files_that_are_no_lists(tmp_path):
    path = tmp_path / "x.json"
    for content, message in [
        ("", "is empty"),
        ("3", "a sample must be an object, got int"),
        ("{", "invalid JSON"),
    ]:
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            read_osprey_samples(path, kind="part", dataset="o")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_category_list(tmp_path / "absent.json")


def test_numbers_of_regions_are_ascii(tmp_path):
    full_width = "<region\N{FULLWIDTH DIGIT ONE}>"
    row = entry(conversations=[{"from": "human", "value": f"{full_width}?"}, ANSWER])
    (sample,) = read_osprey_samples(written(tmp_path, row), kind="conversation", dataset="o")
    assert sample.turns[0].parts == (f"{full_width}?",)
    path = written(tmp_path, described(f"{full_width}: x", "<region2>: y"))
    with pytest.raises(DataError, match="description 1 must begin '<region1>:'"):
        read_osprey_descriptions(path, dataset="osprey")
