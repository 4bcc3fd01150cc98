import shutil

import pytest

from tasks.data.strict_json import read_json
from tasks.errors import UnavailableError
from tasks.operations.measuring import data_inputs, measure_model
from tasks.services.settings import Settings
from tests.tasks.operations.twins import remember

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_the_same_model_and_data_under_other_names_are_measured_once(copied):
    """Version and checkout are prepared apart, by the same stages: the records are equal bytes."""
    root, settings, result = copied
    place = remember(root / "artifacts" / "segmenter", root, settings)
    said = []
    mine = measure_model("champion", root, settings, say=said.append)
    assert (mine.evaluation, mine.predictions) == (place / "evaluation", place / "predictions.jsonl")
    assert (mine.bundle_id, mine.sequence) == (result["bundle_id"], 1)
    assert mine.records == root / "artifacts" / "prepared" / "val.jsonl"
    assert read_json(mine.evaluation / "metrics.json")["metrics"] == result["metrics"]
    named = measure_model(
        "models:/segmenter/1", root, settings, data=mine.dataset_sha256[:12], say=said.append
    )
    assert (named.evaluation, named.model_sha256) == (mine.evaluation, mine.model_sha256)
    assert named.records.read_bytes() == mine.records.read_bytes()
    assert named.records.is_relative_to(settings.home / "prepared")
    assert said == [
        "evaluation of champion: reused, model and data unchanged",
        f"validating and preparing dataset {mine.dataset_sha256[:12]}",
        "evaluation of models:/segmenter/1: reused, model and data unchanged",
    ]
    again, _ = data_inputs(root, settings, data=mine.dataset_sha256[:12], say=said.append)
    assert again.records == named.records
    assert len(said) == 3


def test_records_of_other_data_are_not_those_of_the_checkout(copied, monkeypatch):
    root, settings, _ = copied
    prepared = []
    monkeypatch.setattr(
        "tasks.operations.measuring.run_stage", lambda _, name, *arguments: prepared.append(name)
    )
    about = root / "artifacts" / "prepared" / "dataset.json"
    about.write_text(about.read_text().replace(read_json(about)["dataset_sha256"], "0" * 64))
    inputs, _ = data_inputs(root, settings)
    assert prepared == ["validate_coco", "prepare_coco"]
    assert inputs.records.is_relative_to(settings.home / "prepared")


@pytest.mark.parametrize("name", ["predictions.jsonl", "evaluation/metrics.json", "evaluation/curves.json"])
def test_a_damaged_evaluation_is_made_again(copied, monkeypatch, name):
    root, settings, _ = copied
    place = remember(root / "artifacts" / "segmenter", root, settings)
    (place / name).write_text("{}")
    again = []
    monkeypatch.setattr(
        "tasks.operations.measuring.predict_and_evaluate", lambda *arguments: again.append(arguments[0])
    )
    said = []
    measure_model("champion", root, settings, say=said.append)
    assert again == [place]
    assert said == [
        f"the evaluation in {place} is damaged, evaluating again",
        "evaluating champion on the current data",
    ]


def test_no_data(copied):
    root, settings, _ = copied
    shutil.rmtree(root / "data" / "dataset")
    with pytest.raises(UnavailableError) as caught:
        data_inputs(root, settings)
    assert str(caught.value) == (
        f"{root / 'data' / 'dataset'}: there is no dataset yet. "
        "Run `groundwork data add FOLDER` or `groundwork data pull`."
    )


def test_no_champion_is_no_measurement(tmp_path):
    with pytest.raises(UnavailableError, match="there is no champion yet"):
        measure_model("champion", tmp_path, Settings.load(tmp_path))
