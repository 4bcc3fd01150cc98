"""Answers in, a committed evaluation out; a broken file leaves nothing behind."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from tasks.data.commit import hash_file, verify_directory
from tasks.data.referring_evaluations import EVALUATION_SCHEMA
from tasks.data.referring_predictions import ReferringAnswer, write_answers
from tasks.data.referring_prepared import read_split
from tasks.errors import DataError, IntegrityError, UnavailableError, UsageError
from tasks.operations.evaluating_referring import evaluate_referring
from tasks.operations.preparing_referring import prepare_referring
from tests.tasks.referring_world import header_of, write_document, write_model


@pytest.fixture
def prepared(tmp_path):
    write_document(tmp_path / "val.json")
    prepare_referring([str(tmp_path / "val.json")], source="drawn", out=tmp_path / "prepared")
    return tmp_path / "prepared"


def evaluate(prepared, answers, kind="boxes", **changes):
    values = {"prepared": prepared, "split": "val", "predictions": answers, "kind": kind}
    return evaluate_referring(**(values | {"out": prepared.parent / "out"} | changes))


def value(document, name):
    return next(entry["value"] for entry in document["metrics"] if entry["name"] == name)


@pytest.mark.parametrize(("kind", "name"), [("boxes", "ref_box.accuracy_90"), ("masks", "ref_mask.giou")])
def test_the_truth_itself_is_right(tmp_path, prepared, kind, name):
    answers = write_model(tmp_path / "perfect.jsonl", prepared, noise=0.0, seed=1, silent=0.0)
    document = evaluate(prepared, answers, kind)
    assert value(document, name) == 1.0
    assert document["coverage"] == {
        "images_expected": 12,
        "images_scored": 12,
        "expressions_expected": 36,
        "expressions_scored": 36,
    }
    manifest = verify_directory(tmp_path / "out", schema=EVALUATION_SCHEMA)
    assert set(manifest.files) == {"metrics.json", "per_expression.parquet", "predictions.jsonl"}
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == document
    assert manifest.provenance["predictions_sha256"] == hash_file(answers) == document["predictions_sha256"]
    assert manifest.provenance["split"] == "val"


def test_an_answer_that_could_not_be_read_is_wrong_and_counted(tmp_path, prepared):
    about, records = read_split(prepared, "val")
    answers = [
        ReferringAnswer(
            expression_id=record.expression_id,
            boxes_xyxy=None if place % 2 else (record.regions[0].box_xyxy,),
        )
        for place, record in enumerate(records)
    ]
    write_answers(tmp_path / "half.jsonl", header_of(about, "half"), answers, parts=["boxes_xyxy"])
    document = evaluate(prepared, tmp_path / "half.jsonl")
    assert value(document, "ref_box.accuracy_50") == value(document, "ref_box.answered") == 0.5
    assert {entry["count"] for entry in document["metrics"]} == {36}
    table = pd.read_parquet(tmp_path / "out" / "per_expression.parquet")
    assert table["outcome"].tolist() == ["answered", "no prediction"] * 18
    assert table["iou"].tolist() == [1.0, 0.0] * 18


def test_nothing_is_right_where_there_is_nothing(tmp_path):
    write_document(tmp_path / "val.json", absent=1)
    prepare_referring([str(tmp_path / "val.json")], source="drawn", out=tmp_path / "prepared")
    answers = write_model(tmp_path / "model.jsonl", tmp_path / "prepared", noise=0.0, seed=1, silent=0.0)
    document = evaluate(tmp_path / "prepared", answers, "masks")
    assert value(document, "ref_mask.n_acc") == value(document, "ref_mask.t_acc") == 1.0
    with pytest.raises(DataError) as caught:
        evaluate(tmp_path / "prepared", answers, "boxes", out=tmp_path / "boxes")
    assert "speaks of 0 regions; accuracy of boxes is about exactly 1." in caught.value.message
    assert caught.value.hint == "Evaluate masks, or prepare other data."
    assert not (tmp_path / "boxes").exists()


def test_masks_need_masks(tmp_path):
    write_document(tmp_path / "val.json")
    prepare_referring([str(tmp_path / "val.json")], source="drawn", out=tmp_path / "p", masks=False)
    answers = write_model(tmp_path / "model.jsonl", tmp_path / "p", noise=0.0, seed=1)
    with pytest.raises(DataError, match=r"1 of 1 regions have no mask\. Evaluate boxes, or prepare other"):
        evaluate(tmp_path / "p", answers, "masks")


def test_equal_files_give_equal_bytes(tmp_path, prepared):
    answers = write_model(tmp_path / "model.jsonl", prepared, noise=0.1, seed=1)
    evaluate(prepared, answers)
    first = verify_directory(tmp_path / "out").sha256
    evaluate(prepared, answers)
    assert verify_directory(tmp_path / "out").sha256 == first


def test_files_that_do_not_belong_together(tmp_path, prepared):
    about, records = read_split(prepared, "val")
    header = dataclasses.replace(header_of(about, "model"), dataset_sha256="e" * 64)
    answers = [ReferringAnswer(expression_id=record.expression_id) for record in records]
    write_answers(tmp_path / "other.jsonl", header, answers, parts=["boxes_xyxy"])
    with pytest.raises(IntegrityError, match=f"dataset_sha256 is '{'e' * 64}', expected"):
        evaluate(prepared, tmp_path / "other.jsonl")
    with pytest.raises(DataError, match="has no split 'testA'"):
        evaluate(prepared, tmp_path / "other.jsonl", split="testA")
    with pytest.raises(UnavailableError, match=r"gone: does not exist\."):
        evaluate(tmp_path / "gone", tmp_path / "other.jsonl")
    with pytest.raises(UnavailableError, match=r"gone\.jsonl: does not exist\."):
        evaluate(prepared, tmp_path / "gone.jsonl")
    with pytest.raises(UsageError, match=r"only an earlier 'groundwork\.referring_evaluation/1'"):
        evaluate(prepared, tmp_path / "other.jsonl", out=prepared)
    assert not (tmp_path / "out").exists()


def test_a_box_of_the_whole_image_does_not_help(tmp_path, prepared):
    def flood(answers):
        whole = (0.0, 0.0, 64.0, 48.0)
        return [dataclasses.replace(answer, boxes_xyxy=(whole,) * 1000) for answer in answers]

    answers = write_model(tmp_path / "flood.jsonl", prepared, noise=0.0, seed=1, change=flood)
    document = evaluate(prepared, answers)
    assert value(document, "ref_box.accuracy_50") == 0.0
    assert np.isfinite(value(document, "ref_box.mean_iou"))
