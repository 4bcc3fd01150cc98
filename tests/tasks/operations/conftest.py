from pathlib import Path

import pytest

from tasks.services.settings import Settings


@pytest.fixture
def copied(branched, tmp_path, monkeypatch) -> tuple[Path, Settings, dict]:
    """The released project, for functions that run in this process."""
    for name in ("MLFLOW_TRACKING_URI", "GROUNDWORK_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    project, result = branched
    return project.root, Settings.load(project.root), result
