"""Settings go to JSON and come back equal; what was not written by them is refused."""

import json
from pathlib import Path

import pytest

from models.region_lm.config import ModelSettings
from models.region_lm.recipes import RegionRecipe
from models.region_lm.stored_values import from_stored, to_stored
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
