import shutil
from pathlib import Path

import pytest

from tasks.services.settings import Settings


@pytest.fixture
def copied(released, tmp_path, monkeypatch) -> tuple[Path, Settings, dict]:
    """The released project in a folder that a test may damage. MLflow's artifacts stay where they were."""
    for name in ("MLFLOW_TRACKING_URI", "GROUNDWORK_HOME"):
        monkeypatch.delenv(name, raising=False)
    project, result = released
    root = tmp_path / "copy"
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("cache", "prefect"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return root, Settings.load(root), result
