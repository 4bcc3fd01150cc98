import stat

import pytest

from tasks.errors import UsageError
from tasks.services.settings import Settings, private_directory, redact


def test_without_any_variable_everything_lives_in_the_repository(tmp_path):
    settings = Settings.load(tmp_path)
    home = tmp_path / ".groundwork"
    assert settings.home == home
    assert settings.tracking_uri == f"sqlite:///{home}/mlflow.db"
    assert settings.ledger_url == f"{home}/ledger.db"
    assert settings.bundles_url == f"{home}/bundles"
    assert settings.remote_url == f"{home}/remote"
    assert settings.artifacts == home / "mlartifacts"
    assert "@" in settings.who
    assert not home.exists()


def test_the_environment_decides(tmp_path, monkeypatch):
    monkeypatch.setenv("GROUNDWORK_HOME", "elsewhere")
    monkeypatch.setenv("GROUNDWORK_LEDGER_URL", "s3://bucket/ledger/")
    monkeypatch.setenv("GROUNDWORK_BUNDLES_URL", "/big/disk")
    monkeypatch.setenv("GROUNDWORK_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GROUNDWORK_WHO", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    settings = Settings.load(tmp_path)
    assert settings.home == tmp_path / "elsewhere"
    assert settings.ledger_url == "s3://bucket/ledger"
    assert settings.bundles_url == "/big/disk"
    assert (settings.s3_endpoint_url, settings.who) == ("http://127.0.0.1:9", "ada")
    assert settings.tracking_uri == "http://127.0.0.1:5000"


@pytest.mark.parametrize("given", ["sqlite:///x/ledger.db", "x/ledger.db"])
def test_a_ledger_in_a_file_may_be_given_as_path_or_address(tmp_path, monkeypatch, given):
    monkeypatch.setenv("GROUNDWORK_LEDGER_URL", given)
    assert Settings.load(tmp_path).ledger_url == f"{tmp_path}/x/ledger.db"


def test_a_misspelt_variable_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GROUNDWORK_LEDGER_URI", "s3://bucket")
    with pytest.raises(UsageError) as caught:
        Settings.load(tmp_path)
    assert str(caught.value) == (
        "GROUNDWORK_LEDGER_URI: unknown environment variable. Did you mean GROUNDWORK_LEDGER_URL?"
    )


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "MLFLOW_TRACKING_URI",
            "http:/typo",
            "MLFLOW_TRACKING_URI: expected sqlite:///... or http(s)://..., got 'http:/typo'. "
            "Unset it to keep runs in a local database.",
        ),
        (
            "GROUNDWORK_BUNDLES_URL",
            "ftp://host/x",
            "GROUNDWORK_BUNDLES_URL: expected a path or s3://bucket/prefix, got 'ftp://host/x'. "
            "Correct or unset GROUNDWORK_BUNDLES_URL.",
        ),
        (
            "GROUNDWORK_REMOTE_URL",
            "s3://B",
            "GROUNDWORK_REMOTE_URL: expected s3://bucket/prefix, got 's3://B'. "
            "Use letters, digits, '.', '_', '-' and '/'.",
        ),
    ],
)
def test_an_address_of_the_wrong_kind_is_refused(tmp_path, monkeypatch, name, value, text):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        Settings.load(tmp_path)
    assert str(caught.value) == text


def test_no_password_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:CANARY@host/x")
    settings = Settings.load(tmp_path)
    assert settings.shown()["tracking_uri"] == "https://***@host/x"
    assert "CANARY" not in f"{settings!r} {settings} {settings.shown()}"
    assert redact("no address") == "no address"


def test_new_directories_are_private_and_old_ones_keep_their_mode(tmp_path):
    (tmp_path / "shared").mkdir(mode=0o755)
    made = private_directory(tmp_path / "shared" / "a" / "b")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (made, made.parent)] == [0o700, 0o700]
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755
