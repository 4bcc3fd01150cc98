"""The configuration of a model goes to a file and back; settings that nothing wrote are refused."""

import pytest

from models.region_lm.hub_config import RegionMLLMConfig
from tests.models.region_lm.systems import recipe, system


def test_it_comes_back_from_its_file(tmp_path):
    config = system("osprey_tiny")[1].config
    config.save_pretrained(tmp_path)
    loaded = RegionMLLMConfig.from_pretrained(tmp_path)
    assert loaded.settings() == recipe("osprey_tiny").model
    assert loaded.placeholder_ids == config.placeholder_ids
    assert loaded.get_text_config().hidden_size == config.get_text_config().hidden_size


def test_settings_that_nothing_wrote_are_refused():
    settings = system("osprey_tiny")[1].config.model_settings
    wrong = RegionMLLMConfig(model_settings={**settings, "regions": {**settings["regions"], "mode": "bogus"}})
    with pytest.raises(ValueError, match=r"model_settings\.regions\.mode must be one of .*, got 'bogus'"):
        wrong.settings()
