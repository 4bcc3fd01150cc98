import pytest

from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.operations.locating import find_model
from tasks.services.settings import Settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_every_name_of_the_champion_is_the_same_model(copied):
    root, settings, result = copied
    champion = find_model("champion", settings)
    assert (champion.bundle_id, champion.sequence) == (result["bundle_id"], 1)
    bundle = find_model(result["bundle_id"], settings)
    assert (bundle.folder, bundle.bundle_id, bundle.sequence) == (champion.folder, result["bundle_id"], None)
    assert find_model(str(root / "artifacts" / "segmenter"), settings).sha256 == champion.sha256
    registered = find_model("models:/segmenter@champion", settings)
    assert registered.sha256 == champion.sha256
    assert registered.folder == find_model("models:/segmenter/1", settings).folder
    assert registered.folder.parent == settings.home / "registered"


def test_a_changed_model_is_refused(copied):
    root, settings, _ = copied
    config = root / "artifacts" / "segmenter" / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(IntegrityError):
        find_model(str(root / "artifacts" / "segmenter"), settings)


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        (
            "champion",
            UnavailableError,
            "segmenter: there is no champion yet. Run `groundwork run --first`.",
        ),
        (
            "models/none",
            UnavailableError,
            "models/none: is no directory with a committed model. Make the model of this checkout with "
            "`groundwork train`: it is artifacts/segmenter.",
        ),
        (
            "newest",
            UsageError,
            "newest: is neither a model directory, `champion`, a bundle id, nor a models:/<name>/<version>. "
            "See `groundwork history`; the model of this checkout is artifacts/segmenter.",
        ),
        (
            "models:/segmenter",
            UsageError,
            "models:/segmenter: is no version of a registered model. Write models:/<name>/<number> or "
            "models:/<name>@<alias>, as in `groundwork history`.",
        ),
    ],
)
def test_what_names_no_model(tmp_path, name, error, text, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(error) as caught:
        find_model(name, Settings.load(tmp_path))
    assert str(caught.value) == text


def test_looking_for_a_model_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UnavailableError, match="nothing was recorded yet"):
        find_model("models:/segmenter/1", Settings.load(tmp_path))
    assert list(tmp_path.iterdir()) == []
