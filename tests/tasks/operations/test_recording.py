import pytest

from tasks.operations.judging import judge_candidate
from tasks.operations.recording import flatten, record_candidate

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_recording_twice_is_recording_once(copied):
    root, settings, result = copied
    recorded = record_candidate(judge_candidate(root, settings), root, settings)
    assert recorded.run_id == result["run"]["run_id"]
    assert recorded.version == result["run"]["version"]
    assert recorded.outcome == "reused"


def test_nested_parameters_become_dotted():
    assert flatten({"a": {"b": 1, "c": {"d": None}}, "e": "f"}) == {"a.b": "1", "a.c.d": "None", "e": "f"}
