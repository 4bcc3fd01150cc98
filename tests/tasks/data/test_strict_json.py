"""What Python's JSON reader lets pass stops here, with its place."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.strict_json import MAX_DEPTH, parse_json, read_json
from tasks.errors import DataError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": NaN}', "invalid JSON at byte 6: NaN is not a JSON number."),
        (b'["NaN", -Infinity]', "invalid JSON at byte 8: -Infinity is not a JSON number."),
        (b"[1e999]", "invalid JSON at byte 1: 1e999 is not a finite number."),
        (b'{"a":{"x":1,"y":2,"x":3}}', "invalid JSON at byte 18: key 'x' appears twice in one object."),
        (b'{"\\u0061":1,"a":2}', "invalid JSON at byte 12: key 'a' appears twice in one object."),
        (b'{"a":{"x":1},"b":{"x":2},"a":3}', "invalid JSON at byte 25: key 'a' appears twice in one object."),
        (b"[" + b"1" * 5000 + b"]", "invalid JSON at byte 1: an integer of 5000 characters, beyond 64 bits."),
        (b"[-" + b"1" * 20 + b"]", "invalid JSON at byte 1: an integer of 21 characters, beyond 64 bits."),
        (b"[9223372036854775808]", "invalid JSON at byte 1: an integer of 19 characters, beyond 64 bits."),
        (b"[" * 100_000, "invalid JSON at byte 100: nested deeper than 100."),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "invalid JSON at byte 500: nested deeper than 100."),
        (b'{"a": [1, 2', "invalid JSON at byte 11: expecting ',' delimiter."),
        ('{"é": "ü", }'.encode(), "invalid JSON at byte 13: illegal trailing comma"),
        (b'"\xff"', "invalid JSON at byte 1: not UTF-8."),
        (b"", "invalid JSON at byte 0: expecting value."),
        (b"\xef\xbb\xbf{}", "invalid JSON at byte 0: unexpected UTF-8 BOM"),
        (b"{} {}", "invalid JSON at byte 3: extra data."),
    ],
)
def test_refused_with_its_place(content, message):
    with pytest.raises(DataError) as caught:
        parse_json(content, source="train.json")
    assert caught.value.obj == "train.json"
    if "trailing comma" not in message:  # Python 3.11 and 3.13 word this one differently
        assert caught.value.message.startswith(message)


def test_brackets_and_numbers_in_text_are_text():
    text = {"counts": "[[[]]NaN{" * 200, "b": "-Infinity 1e999", "c": ":,\\"}
    assert parse_json(json.dumps(text).encode(), source="x") == text


def test_the_deepest_nesting():
    value = parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, source="x")
    assert json.dumps(value).count("[") == MAX_DEPTH


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(1 - 2**63, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_everything_else_is_read_as_python_does(value):
    content = json.dumps(value, ensure_ascii=True).encode()
    assert parse_json(content, source="x") == json.loads(content)


def test_files(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match=r"a\.json: cannot be read: No such file or directory\."):
        read_json(path)
    content = json.dumps({"images": list(range(1000))}).encode()
    path.write_bytes(content)
    assert read_json(path) == {"images": list(range(1000))}
    for cut in range(0, len(content) - 1, 97):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"a\.json: invalid JSON at byte \d+: "):
            read_json(path)
