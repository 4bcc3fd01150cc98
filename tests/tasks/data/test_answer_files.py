import json

import pytest

from tasks.data.answer_files import MAX_CHARACTERS, check_text, invalid, read_answers, read_json_lines
from tasks.errors import DataError


def write(path, *rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def fails(path):
    with pytest.raises(DataError) as caught:
        read_answers(path)
    assert caught.value.hint.startswith("Correct the file, or ")
    return f"{caught.value.obj}: {caught.value.message}".removeprefix(str(path))


def test_lines_and_lists_are_read_alike(tmp_path):
    rows = [{"question_id": 7, "answer": " Yes. "}, {"question_id": "b", "answer": ""}]
    lines = write(tmp_path / "a.jsonl", *rows)
    table = write(tmp_path / "a.json", json.dumps(rows))
    assert read_answers(lines) == read_answers(table) == {"7": " Yes. ", "b": ""}
    assert read_answers(lines, prefix="random/") == {"random/7": " Yes. ", "random/b": ""}
    lines.write_text(lines.read_text().rstrip("\n"))
    assert len(read_answers(lines)) == 2
    assert [where.removeprefix(str(tmp_path)) for where, _ in read_json_lines(lines)] == [
        "/a.jsonl line 1",
        "/a.jsonl line 2",
    ]


def test_text_is_an_answer_only_beside_its_prompt(tmp_path):
    path = write(tmp_path / "a.jsonl", {"question_id": 1, "prompt": "Is it?", "text": "no", "model_id": "m"})
    assert read_answers(path) == {"1": "no"}
    questions = write(tmp_path / "q.jsonl", {"question_id": 1, "text": "Is it?", "label": "yes"})
    assert fails(questions) == " line 1: an answer must have 'answer' of type str, got None."


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (({"answer": "yes"},), " line 1: an answer must have 'question_id' of type int or str, got None."),
        (({"question_id": 1.0, "answer": "a"},), " line 1: an answer must have 'question_id' of type int or"),
        (
            ({"question_id": True, "answer": "a"},),
            " line 1: an answer must have 'question_id' of type int or",
        ),
        (
            ({"question_id": 1, "answer": None},),
            " line 1: an answer must have 'answer' of type str, got None.",
        ),
        (
            ('{"question_id": 1, "answer": NaN}',),
            " line 1: invalid JSON at byte 29: NaN is not a JSON number.",
        ),
        (("[1]",), " item 1: an answer must be an object, got int."),
        (
            ({"question_id": 1, "answer": "a"}, {"question_id": "1", "answer": "b"}),
            " line 2: question '1' is answered a second time.",
        ),
        (({"question_id": 1, "answer": "a"}, ""), " line 2: invalid JSON at byte 0: expecting value."),
        (("",), ": is empty."),
        (
            ({"question_id": 1, "answer": "a" * (MAX_CHARACTERS + 1)},),
            " line 1: an answer may have 100000 characters, got 100001.",
        ),
    ],
)
def test_files_that_are_refused(tmp_path, rows, message):
    assert fails(write(tmp_path / "a.jsonl", *rows)).startswith(message)


def test_a_file_that_is_not_there(tmp_path):
    assert fails(tmp_path / "none.jsonl") == ": cannot be read: No such file or directory."


def test_texts():
    check_text("text", "a")
    for text in (" ", "a" * (MAX_CHARACTERS + 1)):
        with pytest.raises(ValueError, match="text must have 1 to 100000 characters, got"):
            check_text("text", text)
    assert invalid("x", "y.").exit_code == 3
