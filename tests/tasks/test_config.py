from dataclasses import dataclass
from typing import Literal

import pytest

from tasks.config import build, load_file, load_list, load_section, read_yaml
from tasks.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    rate: float
    kind: Literal["near", "far"]
    parts: tuple[Part, ...] = ()
    limit: int | None = None
    pair: tuple[int, int] = (1, 2)

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError(f"rate must not be negative, got {self.rate}.")


def make(**values):
    return build({"rate": 1, "kind": "near", **values}, Example, place="params.yaml:example")


def test_an_int_is_a_float_and_nothing_else_is_converted():
    assert make(parts=[{"width": 3}], limit=None, pair=[3, 4]) == Example(
        rate=1.0, kind="near", parts=(Part(width=3),), pair=(3, 4)
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rte": 1}, "params.yaml:example: unknown key 'rte'. Did you mean 'rate'?"),
        ({"rate": "1"}, "params.yaml:example.rate: must be float, got '1'."),
        ({"rate": True}, "params.yaml:example.rate: must be float, got True."),
        ({"kind": "nar"}, "params.yaml:example.kind: must be one of 'near', 'far', got 'nar'."),
        ({"limit": 2.5}, "params.yaml:example.limit: must be int, got 2.5."),
        ({"parts": {"width": 1}}, "params.yaml:example.parts: must be a list, got {'width': 1}."),
        ({"parts": [{"width": 1.5}]}, "params.yaml:example.parts[0].width: must be int, got 1.5."),
        ({"pair": [1]}, "params.yaml:example.pair: must have 2 items, got 1."),
        ({"rate": -1}, "params.yaml:example: rate must not be negative, got -1.0."),
    ],
)
def test_what_is_wrong_is_named_with_its_place(values, message):
    with pytest.raises(UsageError) as caught:
        make(**values)
    assert str(caught.value) == f"{message} Correct the file."


def test_a_missing_key_and_a_missing_section(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("example: {rate: 1e-4}\n")
    with pytest.raises(UsageError, match="missing key 'kind'"):
        load_section(path, "example", Example)
    with pytest.raises(UsageError, match=r"no section 'exampel'\. Did you mean 'example'\?"):
        load_section(path, "exampel", Example)


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text("rate: 1e-4\nkind: far\n")
    assert load_file(path, Example).rate == 1e-4


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: [", "a: !!python/object/apply:os.getcwd []", "- 1\n"])
def test_what_is_no_plain_mapping_is_refused(tmp_path, text):
    path = tmp_path / "example.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_yaml(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_yaml(tmp_path / "nothing.yaml")


def test_a_list_of_parts(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- {width: 1}\n- {width: 2}\n")
    assert load_list(path, Part) == (Part(width=1), Part(width=2))
    path.write_text("- {width: 1}\n- {b: 2}\n")
    with pytest.raises(UsageError, match=r"list\.yaml\[1\]: unknown key 'b'"):
        load_list(path, Part)
    for text in ("a: 1", "[]", ""):
        path.write_text(text)
        with pytest.raises(UsageError, match="must be a list that is not empty"):
            load_list(path, Part)
