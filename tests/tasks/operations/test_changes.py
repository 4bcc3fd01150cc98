"""Names become files, changes become values."""

import pytest

from tasks.errors import UsageError
from tasks.operations.changes import find_named, make_change, name_changes, with_changes


def test_a_name_is_a_file_of_the_folder(tmp_path):
    (tmp_path / "one.yaml").write_text("a: 1\n")
    assert find_named("one", tmp_path) == tmp_path / "one.yaml"
    assert str(find_named("elsewhere/two.yaml", tmp_path)) == "elsewhere/two.yaml"
    with pytest.raises(UsageError, match="there is no such recipe") as caught:
        find_named("two", tmp_path)
    assert "two" in str(caught.value)
    assert "one" in str(caught.value.hint)
    with pytest.raises(UsageError):
        find_named("../one", tmp_path)


def test_a_change_reaches_mappings_and_items():
    document = {"a": {"b": 1}, "c": [{"d": 2}, 3]}
    for change in ("a.b=2.5", "a.new=[1, 2]", "c.0.d=null", "c.1=text"):
        make_change(document, change)
    assert document == {"a": {"b": 2.5, "new": [1, 2]}, "c": [{"d": None}, "text"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("a.b", "must be key=value"),
        ("=1", "must be key=value"),
        ("a..b=1", "must be key=value"),
        ("a.b=[1", "the value is not YAML"),
        ("x.b=1", "the file has no section 'x'"),
        ("c.2=1", "the file has no section 'c'"),
        ("c.2.d=1", "the file has no section 'c.2'"),
        ("c.x.d=1", "the file has no section 'c.x'"),
        ("a.b.e=1", "the file has no section 'a.b'"),
    ],
)
def test_a_change_of_nothing_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        make_change({"a": {"b": 1}, "c": [{"d": 2}, 3]}, change)


def made(changes, document=None):
    """Make a sum of two numbers that may not be 3, and none of which is negative."""
    document = {"a": 0, "b": 0} | (document or {})
    for change in changes:
        make_change(document, change)
    for name, value in document.items():
        if value < 0:
            raise UsageError(f"{name} is negative.", obj="file.yaml", hint="Correct the file.")
    if sum(document.values()) == 3:
        raise UsageError("the sum is 3.", obj="file.yaml", hint="Correct the file.")
    return document


def test_what_changes_break_is_theirs():
    assert with_changes(["a=1"], made) == {"a": 1, "b": 0}
    with pytest.raises(UsageError, match=r"^--set a=-1: a is negative\. Correct `--set a=-1`, or") as caught:
        with_changes(["b=5", "a=-1"], made)
    assert "file.yaml" in caught.value.hint
    with pytest.raises(UsageError, match=r"^--set a=1 --set b=2: the sum is 3\."):
        with_changes(["a=1", "b=2"], made)
    with pytest.raises(UsageError, match=r"^file\.yaml: b is negative\. Correct the file\."):
        with_changes(["a=1"], lambda changes: made(changes, {"b": -1}))
    with pytest.raises(UsageError, match=r"^--set c\.d=1: the file has no section 'c'\."):
        with_changes(["c.d=1"], made)
    assert name_changes([]) == ""
