import pytest

from tasks.operations.judging import judge_candidate
from tasks.operations.recording import Recorded
from tasks.operations.reporting import report_judgement

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_a_whole_page_is_reused_and_a_damaged_one_is_rendered_again(copied):
    root, settings, result = copied
    judged = judge_candidate(root, settings)
    recorded = Recorded(**result["run"])
    page, outcome = report_judgement(judged, recorded, root, settings)
    assert outcome == "reused"
    page.write_text("nothing")
    page, outcome = report_judgement(judged, recorded, root, settings)
    assert outcome == "rendered"
    text = page.read_text()
    assert result["bundle_id"] in text
    assert "Content-Security-Policy" in text
