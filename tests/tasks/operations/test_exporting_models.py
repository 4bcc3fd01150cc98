"""Models that are not the current candidate: measured, then exported."""

import json

import pytest

from tasks.operations import layout
from tasks.operations.exporting import export_predictions

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_the_champion_is_exported_as_the_candidate_it_was(copied):
    root, settings, result = copied
    said = []
    champion = export_predictions(
        "coco", root / "champion", root, settings, model="champion", say=said.append
    )
    candidate = export_predictions("coco", root / "candidate", root, settings)
    assert said == [
        "evaluating champion on the current data",
        f"exporting 6 images of val to {root / 'champion'}",
    ]
    assert champion["model_sha256"] == candidate["model_sha256"]
    assert champion["sha256"] == candidate["sha256"]
    metrics = {item["name"]: item["value"] for item in result["metrics"]}
    assert champion["detections"] == pytest.approx(metrics["detections_per_image"] * champion["images"])
    truth = json.loads((root / "champion" / "ground_truth.json").read_text())
    assert [row["id"] for row in truth["categories"]] == [1, 2, 3]
    of_stages = export_predictions("fiftyone", root / "fo", root, settings, model=str(root / layout.MODEL))
    assert of_stages["predictions_sha256"] == candidate["predictions_sha256"]
