"""What is written comes back equal; anything else is named."""

import json
from dataclasses import asdict, dataclass

import pytest

from models.segmentation.strict_values import build_strictly


@dataclass(frozen=True, kw_only=True)
class Inner:
    sides: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner
    rest: float | None = None


def test_json_and_back():
    value = Outer(name="a", inner=Inner(sides=(3, 4)))
    assert build_strictly(Outer, json.loads(json.dumps(asdict(value))), "outer") == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, r"outer must have the keys \['inner', 'name', 'rest'\], got None\."),
        ({"name": "a"}, r"outer must have the keys .*, got \['name'\]\."),
        ({"name": "a", "rest": 1, "inner": {"side": 1}}, r"outer\.inner must have the keys \['sides'\]"),
    ],
)
def test_other_fields_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        build_strictly(Outer, values, "outer")
