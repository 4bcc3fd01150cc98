import hashlib
import json
import tracemalloc

import pytest

from tasks.data import json_stream
from tasks.data.json_stream import JsonStream
from tasks.errors import DataError

DOCUMENT = {
    "info": {"text": 'Größe \\ " \u2028 😀', "deep": [[1, [2, {}]], None, True]},
    "version": 12345678,
    "images": [{"id": number, "name": f"ä{number}", "numbers": [0.5, -1e-3]} for number in range(40)],
    "empty": "",
    "annotations": [],
}


def read(path, tables=("images", "annotations")):
    stream = JsonStream(path, tables)
    return list(stream.parts()), stream.sha256


def rebuilt(parts, tables=("images", "annotations")):
    document = {table: [] for table in tables}
    for key, entry, value in parts:
        if entry is None:
            document[key] = value
        else:
            assert entry == len(document[key])
            document[key].append(value)
    return document


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 3])
def test_parts_make_the_document(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    path = tmp_path / "file.json"
    path.write_text(json.dumps(DOCUMENT, indent=indent, ensure_ascii=False), encoding="utf-8")
    parts, sha256 = read(path)
    assert rebuilt(parts) == DOCUMENT
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a JSON object"),
        ("[]", "must be a JSON object"),
        ('{"images": []}', "'annotations' must be a list of objects"),
        ('{"images": {}, "annotations": []}', "'images' must be a list of objects"),
        ('{"images": [1], "annotations": []}', "'images' must be a list of objects, entry 0 is '1'"),
        ('{"images": [{"a": NaN}], "annotations": []}', "NaN is not a JSON number"),
        ('{"images": [{"a": 1, "a": 2}], "annotations": []}', "key 'a' appears twice"),
        ('{"images": [], "images": [], "annotations": []}', "byte 23: key 'images' appears twice"),
        ('{"images": [{}{}], "annotations": []}', "byte 14: expected ',', found '{'"),
        ('{"images": [{}], "annotations": []} x', "byte 36: text after the end"),
        ('{"images": [{}], "annotations": [', "the end of the file|expecting value"),
        ('{"images": [{"a": "b', "'images' entry 0: unterminated string"),
        ('{"images": [{"a": 1e999}], "annotations": []}', "1e999 is not a finite number"),
        ('{"images": [{"a": ' + "9" * 30 + '}], "annotations": []}', "beyond 64 bits"),
        ('{3: []}', "must be text"),
        ('{"x": ' + "[" * 200 + "]" * 200 + "}", "nested deeper than 100"),
        ('{"x": ' + "[" * 200000 + "}", "'x'"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in caught.value.obj


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(b'{"x": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8"):
        read(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(tmp_path / "none.json")


def test_a_value_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", 100)
    monkeypatch.setattr(json_stream, "LARGEST_VALUE", 1000)
    path = tmp_path / "file.json"
    path.write_text('{"images": [{"a": "' + "x" * 5000 + '"}], "annotations": []}')
    with pytest.raises(DataError, match="'images' entry 0 is broken, or longer than 1000 characters"):
        read(path)


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", 1 << 12)
    peaks = []
    for count in (200, 4000):
        path = tmp_path / f"{count}.json"
        rows = [{"id": number, "text": "x" * 100} for number in range(count)]
        path.write_text(json.dumps({"images": rows, "annotations": []}))
        tracemalloc.start()
        number = sum(1 for _ in JsonStream(path, ("images", "annotations")).parts())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert number == count
    assert peaks[1] < 1.5 * peaks[0]
