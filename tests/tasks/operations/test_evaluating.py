import pytest

from tasks.data.strict_json import read_json
from tasks.errors import DataError, UnavailableError
from tasks.operations.evaluating import evaluate_model

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_the_champion_measured_again_has_its_numbers(copied):
    root, settings, result = copied
    said = []
    folder = evaluate_model("champion", root, settings, say=said.append)
    assert read_json(folder / "metrics.json")["metrics"] == result["metrics"]
    assert evaluate_model(result["bundle_id"], root, settings, say=said.append) == folder
    assert said == [
        "evaluating champion on the current data",
        f"evaluation of {result['bundle_id']}: reused, model and data unchanged",
    ]


def test_a_failing_stage_is_named(copied):
    root, settings, _ = copied
    (root / "artifacts" / "prepared" / "val.jsonl").write_text("nothing\n")
    with pytest.raises(DataError, match=r"val\.jsonl"):
        evaluate_model("champion", root, settings)


def test_no_such_model(copied):
    root, settings, _ = copied
    with pytest.raises(UnavailableError):
        evaluate_model("0" * 16, root, settings)
