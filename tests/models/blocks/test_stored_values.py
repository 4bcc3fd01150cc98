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


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("regions.mode", "bogus", r"model\.regions\.mode must be one of \['binary', .*\], got 'bogus'"),
        ("template", None, r"model\.template must be one of .*, got None"),
        ("projector.scale", 1.0, r"model\.projector\.scale must be of the type int, got 1\.0"),
        ("regions.most", "100", r"must be of the type int, got '100'"),
        ("regions.position_side", True, r"must be of the type int, got True"),
        ("projector.residual", 0, r"must be of the type bool, got 0"),
        ("images.overlap_prescale", "1", r"must be of the type float, got '1'"),
        ("images.overlap_prescale", False, r"must be of the type float, got False"),
        ("vision.convnext.dims", 4, r"model\.vision\.convnext\.dims must be a list, got 4"),
        ("vision.convnext.dims", [8, 8, 8], r"dims must be a list of 4, got \[8, 8, 8\]"),
        ("vision.convnext.dims", [8, 8, "8", 8], r"dims\[2\] must be of the type int, got '8'"),
        ("images", None, r"model\.images must have the keys"),
    ],
)
def test_types_must_be_those_of_the_settings(place, value, said):
    stored = json.loads(json.dumps(to_stored(recipe("osprey_tiny").model)))
    *path, last = place.split(".")
    part = stored
    for key in path:
        part = part[key]
    part[last] = value
    with pytest.raises(ValueError, match=said):
        from_stored(ModelSettings, stored, "model")


def test_a_whole_number_is_a_float_that_json_writes_so():
    assert from_stored(Outer, {"name": "a", "rest": 1, "inner": {"sides": [3]}}, "outer").rest == 1.0
    with pytest.raises(ValueError, match=r"outer\.name must be of the type str, got 3"):
        from_stored(Outer, {"name": 3, "rest": None, "inner": {"sides": []}}, "outer")
