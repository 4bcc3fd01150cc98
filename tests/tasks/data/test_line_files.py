import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.data.line_files import header_values, read_lines
from tasks.errors import DataError

HINT = "Write it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    split: str
    images: int


def header(tmp_path: Path, **values: object) -> dict:
    line = json.dumps({"schema": "test/1", **values}).encode()
    return header_values(line, Header, schema="test/1", path=tmp_path / "lines.jsonl", hint=HINT)


def test_lines_come_without_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"b": 2}\r\n')
    assert read_lines(path, hint=HINT) == [b'{"a": 1}', b"", b'{"b": 2}\r']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty or was cut off"),
        (b'{"a": 1}\n{"b"', "the last line does not end"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "lines.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_lines(path, hint=HINT)
    assert caught.value.obj == str(path)
    assert caught.value.hint == HINT


def test_a_header_gives_its_fields(tmp_path: Path) -> None:
    assert header(tmp_path, images=3, split="val") == {"images": 3, "split": "val"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": "other/1", "split": "val", "images": 3}, "must be a header with schema 'test/1'"),
        ({"split": "val"}, r"must have \['split', 'images'\]"),
        ({"split": "val", "images": 3, "more": 1}, "of their types"),
        ({"split": "val", "images": True}, "'images': True"),
        ({"split": "val", "images": 3.0}, "'images': 3.0"),
    ],
)
def test_a_header_of_another_kind_is_refused(tmp_path: Path, values: dict, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        header(tmp_path, **values)
    assert caught.value.obj.endswith("lines.jsonl line 1")
