"""No answer that a scorer could misread gets past the reader, and none that is only wrong is refused."""

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.ref_boxes import BoxExpression, evaluate_boxes
from tasks.data.referring import ReferredRegion, ReferringRecord
from tasks.data.referring_predictions import (
    MAX_BOXES,
    MAX_CHARACTERS,
    ReferringAnswer,
    ReferringHeader,
    read_answers,
    write_answers,
)
from tasks.data.rle import encode_mask
from tasks.errors import DataError, IntegrityError

HEADER = ReferringHeader(dataset_sha256="d" * 64, split="val", model_sha256="a" * 64, expressions=3)
RECORDS = [
    ReferringRecord(
        expression_id=number,
        object_key="1",
        source="refcoco/unc",
        split="val",
        expression="left man",
        image_id=9,
        file="9.jpg",
        height=10,
        width=12,
        regions=(ReferredRegion(region_id=None, box_xyxy=(1.0, 1.0, 5.0, 5.0)),),
    )
    for number in (5, 3, 9)
]


def mask(*rows):
    pixels = np.zeros((10, 12), dtype=np.bool_)
    pixels[slice(*rows), 3:7] = True
    return encode_mask(pixels)


ANSWERS = [
    ReferringAnswer(expression_id=3, text="I see no man."),
    ReferringAnswer(
        expression_id=5, boxes_xyxy=((1.0, 2.0, 3.0, 4.5), (0.0, 0.0, 1.0, 1.0)), mask=mask(2, 5)
    ),
    ReferringAnswer(expression_id=9, boxes_xyxy=(), mask=mask(0, 0), text="<b>עברית \x07</b>"),
]
BOTH = ("boxes_xyxy", "mask")


def read(path, **changes):
    expected = {
        "dataset_sha256": HEADER.dataset_sha256,
        "split": "val",
        "part": "boxes_xyxy",
        "model_sha256": HEADER.model_sha256,
    }
    return read_answers(path, RECORDS, **{**expected, **changes})


@pytest.fixture
def path(tmp_path):
    write_answers(tmp_path / "val.jsonl", HEADER, ANSWERS, parts=BOTH)
    return tmp_path / "val.jsonl"


def rewrite(path, line, change):
    """Change the parsed value of one line, counted from 1; NaN stays writable."""
    lines = path.read_text().splitlines()
    value = json.loads(lines[line - 1])
    change(value)
    lines[line - 1] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("part", BOTH)
def test_round_trip_in_the_order_of_the_records(path, part):
    header, answers = read(path, part=part)
    assert header == HEADER
    assert answers == [ANSWERS[1], ANSWERS[0], ANSWERS[2]]
    assert read(path, model_sha256=None)[1] == answers


def test_null_and_nothing_are_two_answers(path):
    _, answers = read(path)
    assert [answer.boxes_xyxy for answer in answers[1:]] == [None, ()]
    assert answers[1].mask is None
    assert answers[2].mask == mask(0, 0)


def test_same_answers_same_bytes(path, tmp_path):
    write_answers(tmp_path / "again.jsonl", HEADER, iter(ANSWERS), parts=["mask", "boxes_xyxy"])
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()


def test_the_writer_counts(tmp_path):
    with pytest.raises(ValueError, match=r"^2 expressions were answered, the header says 3\.$"):
        write_answers(tmp_path / "x", HEADER, ANSWERS[:2], parts=BOTH)
    with pytest.raises(ValueError, match=r"^expression 3 was answered twice\.$"):
        write_answers(tmp_path / "x", HEADER, [ANSWERS[0]] * 3, parts=BOTH)
    with pytest.raises(ValueError, match=r"^parts must name at least one of \['boxes_xyxy', 'mask'\]\.$"):
        write_answers(tmp_path / "x", HEADER, ANSWERS, parts=())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("held", "absent"), [("boxes_xyxy", "mask"), ("mask", "boxes_xyxy")])
def test_a_file_of_the_other_kind_is_refused(tmp_path, held, absent):
    write_answers(tmp_path / "x", HEADER, ANSWERS, parts=[held])
    assert len(read(tmp_path / "x", part=held)[1]) == 3
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x", part=absent)
    assert caught.value.message == f"has no {absent!r}; null says that the answer could not be read."
    assert caught.value.obj == f"{tmp_path / 'x'} line 2, expression 3"


NAN, INF = float("nan"), float("inf")
BOXES = "boxes_xyxy must be boxes of 4 finite numbers below 1e+09 px, got "
BAD_ANSWERS = {
    "nan": ({"boxes_xyxy": [[NAN, 1, 2, 3]]}, "NaN is not a JSON number"),
    "infinity": ({"boxes_xyxy": [[-INF, 1, 2, 3]]}, "-Infinity is not a JSON number"),
    "huge": ({"boxes_xyxy": [[0, 0, 1e9, 3]]}, f"{BOXES}[0, 0, 1000000000.0, 3]."),
    "hugely negative": ({"boxes_xyxy": [[-1e12, 0, 1, 3]]}, f"{BOXES}[-1000000000000.0, 0, 1, 3]."),
    "text": ({"boxes_xyxy": [["0", 0, 1, 3]]}, f"{BOXES}['0', 0, 1, 3]."),
    "true": ({"boxes_xyxy": [[True, 0, 1, 3]]}, f"{BOXES}[True, 0, 1, 3]."),
    "three numbers": ({"boxes_xyxy": [[0, 1, 3]]}, f"{BOXES}[0, 1, 3]."),
    "one box, no list": ({"boxes_xyxy": [0, 1, 3, 4]}, f"{BOXES}0."),
    "null inside": ({"boxes_xyxy": [None]}, f"{BOXES}None."),
    "no list": ({"boxes_xyxy": {}}, "boxes_xyxy must be null or a list of at most 1000 boxes."),
    "a flood": (
        {"boxes_xyxy": [[0, 0, 1, 1]] * (MAX_BOXES + 1)},
        "boxes_xyxy must be null or a list of at most 1000 boxes.",
    ),
    "another size": ({"mask": {"size": [12, 10], "counts": "h3"}}, "mask is 10x12, the image has 12x10."),
    "mask too short": ({"mask": {"size": [10, 12], "counts": "13"}}, "counts fill 4 pixels"),
    "mask broken": ({"mask": {"size": [10, 12], "counts": "~"}}, "counts hold a character outside"),
    "counts as list": ({"mask": {"size": [10, 12], "counts": [120]}}, 'mask must be null or {"size": ['),
    "size as text": ({"mask": {"size": ["10", 12], "counts": "h3"}}, "mask size must be two integers"),
    "size no list": ({"mask": {"size": 10, "counts": "h3"}}, 'mask must be null or {"size": ['),
    "mask a list": ({"mask": [[0, 0, 1, 1, 2, 2]]}, 'mask must be null or {"size": ['),
    "text a number": ({"text": 3}, "text must be null or text of at most 100000 characters."),
    "text too long": ({"text": "a" * (MAX_CHARACTERS + 1)}, "text must be null or text of at most"),
    "half a pair": ({"text": "a\ud800"}, "text holds half of a surrogate pair, which no file can hold."),
}


@pytest.mark.parametrize(("change", "message"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
@pytest.mark.parametrize("part", BOTH)
def test_bad_answers(path, change, message, part):
    rewrite(path, 3, lambda line: line.update(change))
    with pytest.raises(DataError) as caught:
        read(path, part=part)
    assert message in caught.value.message
    assert caught.value.obj.startswith(f"{path} line 3")
    assert "null where an answer could not be read" in caught.value.hint or "JSON" in message
    if "JSON" not in message:
        assert caught.value.obj == f"{path} line 3, expression 5"


@pytest.mark.parametrize(
    "box", [[5, 5, 1, 1], [3, 3, 3, 3], [-40, -40, 900, 900], [100, 100, 200, 200]], ids=str
)
def test_a_wrong_box_is_an_answer(path, box):
    rewrite(path, 3, lambda line: line.update(boxes_xyxy=[box]))
    assert read(path)[1][0].boxes_xyxy == (tuple(box),)


BAD_LINES = {
    "unknown": (3, lambda line: line.update(expression_id=4), "expression 4 is not in the split."),
    "text id": (3, lambda line: line.update(expression_id="5"), "expression 5 is not in the split."),
    "true id": (3, lambda line: line.update(expression_id=True), "expression True is not in the split."),
    "list id": (3, lambda line: line.update(expression_id=[5]), "expression [5] is not in the split."),
    "no id": (3, lambda line: line.pop("expression_id"), "expression None is not in the split."),
    "repeated": (3, lambda line: line.update(expression_id=3), "expression 3 appears a second time."),
    "extra key": (3, lambda line: line.update(score=1), "must be an object of expression_id, boxes_xyxy,"),
    "no key": (3, lambda line: line.pop("boxes_xyxy"), "has no 'boxes_xyxy'; null says that"),
    "schema": (1, lambda line: line.update(schema="x/1"), "must be a header with schema"),
    "extra in header": (1, lambda line: line.update(note=1), "the header must have"),
    "count as text": (1, lambda line: line.update(expressions="3"), "the header must have"),
    "count": (1, lambda line: line.update(expressions=4), "the header says 4 expressions, 3 follow."),
    "model": (
        1,
        lambda line: line.update(model_sha256="gpt"),
        "model_sha256 must be 64 hex digits, got 'gpt'",
    ),
}


@pytest.mark.parametrize(("line", "change", "message"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_lines(path, line, change, message):
    rewrite(path, line, change)
    with pytest.raises(DataError) as caught:
        read(path, model_sha256=None)
    assert message in caught.value.message
    assert caught.value.obj.startswith(f"{path} line {line}")


def test_partial_coverage(path):
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    with pytest.raises(DataError, match=r"1 of 3 expressions have no line, first: \[9\]\.") as caught:
        read(path)
    assert caught.value.obj == str(path)


def test_every_cut_is_noticed(path):
    content = path.read_bytes()
    for cut in range(0, len(content), 7):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError):
            read(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(path)


@pytest.mark.parametrize("name", ["dataset_sha256", "split", "model_sha256"])
def test_other_data_or_another_model(path, name):
    with pytest.raises(IntegrityError) as caught:
        read(path, **{name: "other"})
    assert caught.value.message == f"{name} is {getattr(HEADER, name)!r}, expected 'other'."
    assert "or name the file that did" in caught.value.hint


PARTS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
BOXES_OF_ANY_KIND = st.lists(st.lists(PARTS, min_size=3, max_size=5), max_size=3)
BOXES_OF_NUMBERS = st.lists(st.lists(st.floats() | st.integers(), min_size=4, max_size=4), max_size=3)


@given(boxes=BOXES_OF_ANY_KIND | BOXES_OF_NUMBERS | PARTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_there_is_refused_or_scored(tmp_path, boxes):
    path = tmp_path / "val.jsonl"
    write_answers(path, HEADER, ANSWERS, parts=BOTH)
    rewrite(path, 3, lambda line: line.update(boxes_xyxy=boxes))
    try:
        found = read(path)[1][0].boxes_xyxy
    except DataError:
        return
    truth = BoxExpression(expression_id=5, image_id=9, split="val", box_xyxy=(1.0, 1.0, 5.0, 5.0))
    result = evaluate_boxes([truth], {5: found}).splits[0]
    assert 0.0 <= result.value("ref_box.mean_iou") <= 1.0
    assert result.value("ref_box.answered") == float(bool(found))


def test_flipped_bytes_are_refused_or_read_whole(path):
    content, generator = path.read_bytes(), np.random.default_rng(5)
    for _ in range(300):
        changed = bytearray(content)
        changed[generator.integers(len(changed))] = generator.integers(256)
        path.write_bytes(changed)
        with suppress(DataError, IntegrityError):
            assert len(read(path)[1]) == 3
