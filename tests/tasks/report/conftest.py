"""One champion and one challenger on shapes world, made once for all tests of the report."""

from pathlib import Path

import pytest

from tasks.report.page import render_report
from tasks.report.sources import ReportInputs
from tests.tasks.report.candidate import make_candidate
from tests.tiny.shapes import write_shapes_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes_world(tmp_path_factory.mktemp("world"), num_train=1, num_val=5, size=96)


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory, world: Path) -> ReportInputs:
    return make_candidate(tmp_path_factory.mktemp("champion"), world, seed=1, care=0.7)


@pytest.fixture(scope="session")
def challenger(tmp_path_factory: pytest.TempPathFactory, world: Path, champion: ReportInputs) -> ReportInputs:
    folder = tmp_path_factory.mktemp("challenger")
    return make_candidate(folder, world, seed=2, care=0.95, champion=champion.evaluation)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, challenger: ReportInputs) -> Path:
    """The challenger's report; tests only read it."""
    return render_report(challenger, tmp_path_factory.mktemp("report") / "out")
