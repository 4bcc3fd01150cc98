"""What the flow does is proved in tests/end_to_end; here, that bad data stops it."""

import pytest

from flows.release_flow import release_segmenter
from tasks.operations.layout import LAST_STAGE
from tasks.services import dvc
from tests.conftest import ROOT

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_the_flow_names_a_target_and_dvc_the_order():
    names = [stage.name for stage in dvc.stages(ROOT, LAST_STAGE)]
    assert names == [
        "validate_coco",
        "prepare_coco",
        "train_segmenter",
        "configure_segmenter",
        "predict_masks",
        "evaluate_detection",
    ]
    assert release_segmenter.name == "release segmenter"


@pytest.mark.timeout(600)
def test_bad_data_is_named_and_stops_the_flow(later_runs):
    code, document, project = later_runs["bad data"]
    assert code == 3, document
    assert document["error"]["code"] == "data-invalid"
    assert "image-size-mismatch" in document["error"]["message"]
    assert not (project.root / "artifacts" / "segmenter").exists()
    assert not (project.root / ".groundwork" / "ledger.db").exists()
    assert (project.root / "artifacts" / "validation" / "failed.json").exists()
