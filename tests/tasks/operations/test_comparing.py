import json

import pytest

from models.segmentation.config import PredictionConfig
from tasks.data.commit import verify_directory
from tasks.errors import UnavailableError, UsageError
from tasks.operations.comparing import compare_models
from tasks.report.comparison import COMPARISON_SCHEMA
from tasks.stages import configure_segmenter

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


@pytest.mark.slow
def test_two_models_side_by_side_and_what_was_measured_is_reused(copied, tmp_path):
    root, settings, result = copied
    strict = tmp_path / "strict"
    config = PredictionConfig(
        score_threshold=0.3, suppression_iou=0.5, detections_per_image=20, mask_threshold=0.5
    )
    configure_segmenter.run(config, model=root / "artifacts" / "segmenter", out=strict)
    said = []
    found = compare_models(str(strict), "champion", root, settings, say=said.append)
    assert said[-1] == "rendering the comparison"
    assert found.page.parent.parent == root / "artifacts" / "reports"
    verify_directory(found.page.parent, schema=COMPARISON_SCHEMA)
    numbers = found.numbers
    assert numbers["candidate"]["name"] == str(strict)
    assert numbers["candidate"]["model_sha256"] == verify_directory(strict).sha256
    assert numbers["champion"]["name"] == "champion, entry 1"
    assert numbers["intervals"] == {"method": "percentile", "alpha": 0.05, "resamples": 200, "seed": 1}
    values = {item["name"]: item["champion"] for item in numbers["metrics"]}
    assert values == {item["name"]: item["value"] for item in result["metrics"]}
    assert json.loads((found.page.parent / "comparison.json").read_text()) == numbers

    said.clear()
    out = tmp_path / "page"
    again = compare_models(str(strict), "champion", root, settings, out=out, say=said.append)
    assert again.page == out / "comparison.html"
    assert again.numbers == numbers
    assert sum("reused" in line for line in said) == 2


def test_nothing_but_an_earlier_comparison_is_replaced(copied, tmp_path):
    root, settings, _ = copied
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"only an earlier 'groundwork\.comparison/1' is replaced"):
        compare_models("champion", "champion", root, settings, out=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_no_such_model(copied):
    root, settings, _ = copied
    with pytest.raises(UnavailableError):
        compare_models("0" * 16, "champion", root, settings)
