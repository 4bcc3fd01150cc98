"""Settings go to JSON and come back equal; what was not written by them is refused."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.blocks.stored_values import from_stored, to_stored
from models.region_lm.config import ModelSettings
from models.region_lm.recipes import RegionRecipe
from tests.models.region_lm.systems import ROOT, recipe

NAMES = sorted(path.stem for path in Path(ROOT / "configs" / "region_lm").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_comes_back(name):
    stored = json.loads(json.dumps(to_stored(recipe(name).model)))
    assert from_stored(ModelSettings, stored, "model") == recipe(name).model
    whole = json.loads(json.dumps(to_stored(recipe(name))))
    assert from_stored(RegionRecipe, whole, "recipe") == recipe(name)


def test_keys_must_be_those_of_the_settings():
    stored = to_stored(recipe("osprey_tiny").model)
    with pytest.raises(ValueError, match=r"^model must have the keys \['images', .* got \['x'\]"):
        from_stored(ModelSettings, {"x": 1}, "model")
    with pytest.raises(ValueError, match=r"model must have the keys .* got None"):
        from_stored(ModelSettings, None, "model")
    del stored["vision"]["convnext"]["dims"]
    with pytest.raises(ValueError, match=r"^model\.vision\.convnext must have the keys"):
        from_stored(ModelSettings, stored, "model")


def test_values_are_checked_as_ever():
    stored = to_stored(recipe("osprey_tiny").model)
    stored["projector"]["scale"] = 3
    with pytest.raises(ValueError, match="mlp does not compress"):
        from_stored(ModelSettings, stored, "model")


@dataclass(frozen=True, kw_only=True)
class Inner:
    sides: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner
    rest: float | None = None


def test_any_dataclass_comes_back_from_json():
    value = Outer(name="a", inner=Inner(sides=(3, 4)))
    assert from_stored(Outer, json.loads(json.dumps(to_stored(value))), "outer") == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, r"outer must have the keys \['inner', 'name', 'rest'\], got None\."),
        ({"name": "a"}, r"outer must have the keys .*, got \['name'\]\."),
        ({"name": "a", "rest": 1, "inner": {"side": 1}}, r"outer\.inner must have the keys \['sides'\]"),
    ],
)
def test_other_fields_of_any_dataclass_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        from_stored(Outer, values, "outer")
