import pytest

from tasks.operations import watching
from tasks.services.settings import Settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_the_same_bytes_give_the_same_numbers(copied):
    root, settings, _ = copied
    found = watching.watch_champion(root, settings)
    assert found["verdict"] == "steady"
    assert found["moved"] == {}


def test_no_champion_is_no_drift(tmp_path):
    assert watching.watch_champion(tmp_path, Settings.load(tmp_path))["verdict"] == "none"
