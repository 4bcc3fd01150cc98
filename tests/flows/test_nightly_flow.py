import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release"), pytest.mark.timeout(600)]


def test_a_quiet_night_only_watches_the_champion(released):
    project, result = released
    found = project.groundwork("run", "--nightly")
    assert found["verdict"] == "steady"
    assert result["bundle_id"] in found["summary"]
