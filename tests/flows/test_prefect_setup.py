import os

from flows.prefect_setup import prepare_prefect


def test_state_stays_in_the_project_and_the_users_settings_win(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("GROUNDWORK_HOME", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_HOME", "mine")
    before = dict(os.environ)
    try:
        prepare_prefect(tmp_path)
        assert os.environ["PREFECT_HOME"] == "mine"
        assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
        assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
        assert os.environ["PREFECT_LOCAL_STORAGE_PATH"].startswith(str(tmp_path))
        assert (tmp_path / ".groundwork" / "prefect").stat().st_mode & 0o077 == 0
    finally:
        os.environ.clear()
        os.environ.update(before)
