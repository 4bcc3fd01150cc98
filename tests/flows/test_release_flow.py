"""What the flow does is proved in tests/end_to_end; here, that bad data stops it."""

import pytest
from PIL import Image

from flows.release_flow import release_segmenter
from tasks.operations.layout import LAST_STAGE
from tasks.services import dvc
from tests.conftest import ROOT

pytestmark = [pytest.mark.end_to_end]


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
def test_bad_data_is_named_and_stops_the_flow(project):
    source = project.root / "source"
    train, val = (next((source / split).iterdir()) for split in ("train", "val"))
    train.write_bytes(train.read_bytes()[:200])
    Image.open(val).transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((32, 32)).save(val)
    document = project.groundwork("run", "--first", code=3)
    assert document["error"]["code"] == "data-invalid"
    assert "image-size-mismatch" in document["error"]["message"]
    assert not (project.root / "artifacts" / "segmenter").exists()
    assert not (project.root / ".groundwork" / "ledger.db").exists()
    assert (project.root / "artifacts" / "validation" / "failed.json").exists()
