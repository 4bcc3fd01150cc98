import pandas as pd
import pytest

from tasks.data.image_outcomes import DetectionOutcome, read_outcomes
from tasks.data.prepared import read_records
from tasks.errors import IntegrityError
from tasks.operations import layout
from tests.tasks.data.evaluated_shapes import write_evaluated


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    root = write_evaluated(tmp_path_factory.mktemp("evaluated"))
    return root / layout.EVALUATION, read_records(root / layout.VAL_RECORDS)


def test_counts_and_verdicts_are_those_of_the_tables(evaluation):
    folder, records = evaluation
    outcomes = read_outcomes(folder)
    images = pd.read_parquet(folder / "per_image.parquet").set_index("image_id")
    matches = pd.read_parquet(folder / "matches.parquet")
    assert set(outcomes) == set(images.index) == {record.image_id for record in records}
    for image_id, outcome in outcomes.items():
        rows = matches[matches["image_id"] == image_id].sort_values("detection")
        for kind, item in outcome.items():
            assert item.tp == images.loc[image_id, f"{kind}_tp50"]
            assert item.f1 == images.loc[image_id, f"{kind}_f1_50"]
            verdicts = [detection.verdict for detection in item.detections]
            assert len(verdicts) == len(rows)
            assert verdicts.count("tp") == item.tp
            assert verdicts.count("fp") == item.fp
            assert item.found == set(rows[f"{kind}_region_id"].dropna().astype(int))
            for detection, iou in zip(item.detections, rows[f"{kind}_iou"], strict=True):
                assert detection.iou == (None if pd.isna(iou) else iou)
    assert any(item.verdict == "ignored" for item in outcomes[records[0].image_id]["box"].detections)
    assert outcomes[records[3].image_id]["mask"].detections == ()
    assert DetectionOutcome(verdict="fp", region_id=None, iou=None) in outcomes[1 + 2]["mask"].detections


def test_tables_that_cannot_be_used_are_refused(evaluation, tmp_path):
    folder, _ = evaluation
    (tmp_path / "per_image.parquet").write_bytes((folder / "per_image.parquet").read_bytes())
    with pytest.raises(IntegrityError, match=r"has tables that cannot be used: .*matches\.parquet"):
        read_outcomes(tmp_path)
    matches = pd.read_parquet(folder / "matches.parquet").drop(columns="mask_iou")
    matches.to_parquet(tmp_path / "matches.parquet", index=False)
    with pytest.raises(IntegrityError, match="has no column 'mask_iou'") as caught:
        read_outcomes(tmp_path)
    assert caught.value.hint == "Run `groundwork eval`."
