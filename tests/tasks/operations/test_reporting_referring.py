"""A page replaces an earlier page, and nothing else."""

import pytest

from tasks.data.commit import verify_directory
from tasks.errors import UsageError
from tasks.operations.reporting_referring import report_referring
from tasks.report.referring_sources import ReferringInputs
from tests.tasks.referring_world import make_pair


def test_only_a_page_is_replaced(tmp_path):
    make_pair(tmp_path, "boxes")
    inputs = ReferringInputs(candidate=tmp_path / "new", prepared=tmp_path / "prepared")
    page = report_referring(inputs, tmp_path / "page")
    assert page == tmp_path / "page" / "referring.html"
    first = verify_directory(tmp_path / "page").sha256
    report_referring(inputs, tmp_path / "page")
    assert verify_directory(tmp_path / "page").sha256 == first
    with pytest.raises(UsageError, match=r"only an earlier 'groundwork\.referring_report/1' is"):
        report_referring(inputs, tmp_path / "new")
    verify_directory(tmp_path / "new")
