"""A pickle is data here: it is read as Python reads it, or refused; nothing in it ever runs."""

import builtins
import collections
import io
import os
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.data import plain_pickle
from tasks.data.plain_pickle import parse_plain_pickle, read_plain_pickle
from tasks.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda part: (
        st.lists(part)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), part)
        | st.lists(part, max_size=4).map(tuple)
    ),
    max_leaves=20,
)


class Attack:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@settings(derandomize=True, deadline=None, max_examples=150)
@given(value=PLAIN, protocol=st.sampled_from(PROTOCOLS))
@example(value=["a\\'\"\n\u20ac\x80", -(2**63), 2**63 - 1, 255, 256, 65536, 1e-300], protocol=0)
@example(value={"": "x" * 300, "k" * 70_000: (1, 2, 3, 4)}, protocol=4)
def test_reads_what_python_reads(value, protocol):
    """The peer is the standard library."""
    content = pickle.dumps(value, protocol=protocol)
    assert parse_plain_pickle(content, source="refs.p") == pickle.loads(content) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_value_met_twice_is_one_value(protocol):
    shared = {"sent": "left man"}
    first, second = parse_plain_pickle(pickle.dumps([shared, shared], protocol), source="refs.p")
    assert first is second


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (
            b"(lp0\nS'caf\\xe9 \\'x\\''\np1\naI7\naL8L\naI01\naF1.5\naNa.",
            ["caf\xe9 'x'", 7, 8, True, 1.5, None],
        ),
        (b"\x80\x02]q\x00(U\x04caf\xe9q\x01K\x07M\x00\x01h\x01e.", ["caf\xe9", 7, 256, "caf\xe9"]),
        (b'S"\\\\ \\" \' \\n\\r\\t\\x7f"\n.', "\\ \" ' \n\r\t\x7f"),
        (b"\x80\x02}q\x00T\x02\x00\x00\x00ab\x8a\x01\xffs.", {"ab": -1}),
        (b"(dp0\nS'a'\nI1\ns.", {"a": 1}),
        (b"(S'a'\nI1\nd.", {"a": 1}),
    ],
)
def test_python_2_text_is_latin_1(content, value):
    assert parse_plain_pickle(content, source="refs.p") == value == pickle.loads(content, encoding="latin1")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (lambda place: Attack(os.system, f"touch {place}"), f"{os.system.__module__}.system"),
        (lambda place: Attack(eval, f"open({str(place)!r}, 'w')"), "eval"),
        (lambda place: Attack(exec, f"open({str(place)!r}, 'w')"), "exec"),
        (lambda place: Attack(builtins.open, str(place), "w"), "open"),
        (lambda place: Attack(io.open_code, str(place)), "open_code"),
    ],
)
def test_code_is_named_and_not_run(tmp_path, attack, name, protocol):
    place = tmp_path / "ran"
    content = pickle.dumps([{"ref_id": 1, "sent": attack(place)}], protocol)
    with pytest.raises(DataError, match=r"which is not plain data; it was not run\.") as caught:
        parse_plain_pickle(content, source="refs(unc).p")
    assert f"{name} at byte" in caught.value.message
    assert caught.value.obj == "refs(unc).p"
    assert not place.exists()
    if name != "open_code":
        pickle.loads(content)
        assert place.exists(), "the attack works against Python's own reader"


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "value", [collections.OrderedDict(a=1), {1, 2}, b"bytes", complex(1, 2), range(3), DataError, 2**80]
)
def test_anything_else_is_refused(value, protocol):
    with pytest.raises(DataError):
        parse_plain_pickle(pickle.dumps(value, protocol), source="refs.p")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem\n.", "holds the global os.system at byte 0, which is not plain data; it was not run."),
        (
            b"(ios\nsystem\n.",
            "holds the global os.system at byte 1, which is not plain data; it was not run.",
        ),
        (b"\x8c\x02os\x8c\x06system\x93.", "holds the global os.system at byte 12, which is not plain"),
        (b"c\x1b[2J\n\xff\n.", "holds the global ?.\xff at byte 0"),
        (b"]K\x01R.", "holds the instruction REDUCE at byte 3"),
        (b"}}b.", "holds the instruction BUILD at byte 2"),
        (b"\x82\x01.", "holds the instruction EXT1 at byte 0"),
        (b"Pos.system\n.", "holds the instruction PERSID at byte 0"),
        (b"C\x01a.", "holds the instruction SHORT_BINBYTES at byte 0"),
        (b"\xff.", "is malformed at byte 0: no instruction has the code 255."),
        (b"", "is malformed at byte 0: cut off."),
        (b"]", "is malformed at byte 1: cut off."),
        (b"X\xff\xff\xff\x7fab.", "is malformed at byte 0: cut off."),
        (b"\x8d" + b"\xff" * 8 + b"a.", "is malformed at byte 0: cut off."),
        (b"S'abc", "is malformed at byte 0: cut off."),
        (b"Sabc\n.", "is malformed at byte 0: text is not quoted."),
        (b"S'a' + 'b'\n.", "is malformed at byte 0: text is not quoted."),
        (b"S'a\\d'\n.", "is malformed at byte 0: text holds the escape b'\\\\d'."),
        (b"S'a\\xg0'\n.", "is malformed at byte 0: text holds the escape b'\\\\x'."),
        (b"F" + b"z" * 5000 + b"\n.", "is malformed at byte 0: could not convert string to float: b'zz"),
        (b"I" + b"9" * 5000 + b"\n.", "is malformed at byte 0: b'9999"),
        (b"\x8a\x09" + b"\x01" * 9 + b".", "is malformed at byte 0: an integer has 9 bytes, more than 8."),
        (b"Fnan\n.", "is malformed at byte 0: nan is not a finite number."),
        (b"G\x7f\xf0\x00\x00\x00\x00\x00\x00.", "is malformed at byte 0: inf is not a finite number."),
        (b"X\x01\x00\x00\x00\xff.", "is malformed at byte 0: 'utf-8' codec"),
        (b"h\x05.", "is malformed at byte 0: nothing was remembered as 5."),
        (b"e.", "is malformed at byte 0: pop from empty list."),
        (b"a.", "is malformed at byte 0: the stack is empty."),
        (b"}K\x01a.", "is malformed at byte 3: items are added to a dict, not a list."),
        (b"]K\x01K\x02s.", "is malformed at byte 5: items are assigned to a list, not a dict."),
        (b"}K\x01K\x02s.", "is malformed at byte 5: a key of a dict is of type int, not text."),
        (b"}(X\x01\x00\x00\x00au.", "is malformed at byte 8: a key has no value."),
        (b"]].", "is malformed at byte 2: 2 values are left at the end, not 1."),
        (b"](.", "is malformed at byte 2: 1 values are left at the end, not 1."),
    ],
)
def test_says_what_is_wrong_and_where(content, message):
    with pytest.raises(DataError) as caught:
        parse_plain_pickle(content, source="refs.p")
    assert caught.value.message.startswith(message)
    assert len(caught.value.message) < 300
    assert caught.value.hint == "Fetch the file again from its authors, or export it as JSON."


def test_a_huge_memory_slot_costs_nothing():
    """Python's own reader asks for 64 GiB here."""
    assert parse_plain_pickle(b"]r\xff\xff\xff\xff.", source="refs.p") == []


def test_depth_costs_nothing():
    value = parse_plain_pickle(b"]" + b"\x85" * 100_000 + b".", source="refs.p")
    for _ in range(100_000):
        (value,) = value
    assert value == []


@settings(derandomize=True, deadline=None, max_examples=200)
@given(content=st.binary(max_size=60))
def test_noise_is_read_or_refused(content):
    try:
        parse_plain_pickle(content, source="refs.p")
    except DataError as error:
        assert error.obj == "refs.p"  # noqa: PT017 - not every noise is refused


def test_reads_a_file(tmp_path, monkeypatch):
    path = tmp_path / "refs(unc).p"
    with pytest.raises(DataError, match=r"refs\(unc\)\.p: cannot be read: No such file or directory\."):
        read_plain_pickle(path)
    path.write_bytes(pickle.dumps([{"ref_id": 1}], 2))
    assert read_plain_pickle(path) == [{"ref_id": 1}]
    monkeypatch.setattr(plain_pickle, "MAX_BYTES", 5)
    with pytest.raises(DataError, match=r"has \d\d bytes, more than 5\."):
        read_plain_pickle(path)
