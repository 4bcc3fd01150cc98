import subprocess
import sys

import pytest

from models.segmentation.config import PredictionConfig
from models.segmentation.hub import BoxSegmenter
from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError
from tasks.stages.configure_segmenter import run
from tests.tasks.stages.test_predict_masks import commit_model

CHOSEN = PredictionConfig(
    score_threshold=0.7, suppression_iou=0.3, detections_per_image=5, mask_threshold=0.6
)


def test_the_model_answers_with_the_thresholds_it_was_judged_with(tmp_path):
    trained = commit_model(tmp_path / "trained")
    run(CHOSEN, model=tmp_path / "trained", out=tmp_path / "model")
    judged = verify_directory(tmp_path / "model", schema="groundwork.segmenter/1")
    assert judged.sha256 != trained.sha256
    assert judged.files["model.safetensors"] == trained.files["model.safetensors"]
    loaded = BoxSegmenter.from_pretrained(tmp_path / "model", local_files_only=True)
    assert loaded.config.thresholds() == CHOSEN


def test_a_damaged_model_is_refused(tmp_path):
    commit_model(tmp_path / "trained")
    (tmp_path / "trained" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(IntegrityError):
        run(CHOSEN, model=tmp_path / "trained", out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_it_starts_without_torch():
    """Every command that brings the model up to date starts it."""
    code = "import sys, tasks.stages.configure_segmenter; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
