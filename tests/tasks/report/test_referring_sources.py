"""What a page reads belongs together, or there is no page."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from evaluation import bootstrap
from tasks.data.commit import commit_directory
from tasks.data.referring_evaluations import EVALUATION_SCHEMA
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.operations.evaluating_referring import evaluate_referring
from tasks.operations.judging_referring import judge_referring
from tasks.operations.preparing_referring import prepare_referring
from tasks.report.referring_sources import Resampling, read_sources
from tests.tasks.referring_world import write_document
from tests.tasks.report.referring_pages import make_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("sources"), "boxes")


def test_everything_is_read(inputs):
    sources = read_sources(inputs)
    new, old = sources.models
    assert (sources.kind, sources.source) == ("boxes", "drawn")
    assert [model.name for model in sources.models] == ["new", "old"]
    assert list(sources.records) == list(range(1, 31)) == new.table.index.tolist() == list(new.rows)
    assert new.values["ref_box.mean_iou"] == pytest.approx(new.table["iou"].mean())
    assert new.rows[5]["iou"] == new.table.loc[5, "iou"]
    assert sources.resampling == Resampling(alpha=0.05, resamples=200, seed=3, method="bca")
    assert old.answers.keys() == sources.records.keys()


def test_intervals_are_those_of_the_gate(inputs):
    sources = read_sources(inputs)
    (compared,) = sources.decision["comparisons"]
    interval = sources.differences["ref_box.mean_iou"]
    assert [interval.low, interval.high] == compared["interval"]
    tables = sources.models[0].evaluation.expressions
    weights = bootstrap.draw_weights(len(tables.image_ids), resamples=200, seed=3)
    again = bootstrap.interval(tables, "ref_box.accuracy_50", weights, alpha=0.05, method="bca")
    assert sources.intervals["ref_box.accuracy_50"] == again
    assert np.isfinite([again.low, again.high]).all()


def test_one_model_without_a_decision(inputs):
    sources = read_sources(dataclasses.replace(inputs, champion=None, decision=None))
    assert len(sources.models) == 1
    assert sources.differences == {}
    assert sources.resampling == Resampling()


def test_one_image_has_no_interval(tmp_path):
    alone = make_inputs(tmp_path, "boxes", images=1)
    sources = read_sources(dataclasses.replace(alone, decision=None))
    assert sources.intervals == sources.differences == {}


@pytest.mark.parametrize("names", [("new",), ("new", "new"), ("", "old"), ("new", "o" * 33)])
def test_models_need_names(inputs, names):
    with pytest.raises(UsageError, match="2 models need names that differ, of 1 to 32 characters, got"):
        dataclasses.replace(inputs, names=names)


def test_a_page_shows_something(inputs):
    with pytest.raises(ValueError, match=r"shown must be at least 1, got 0\."):
        dataclasses.replace(inputs, shown=0)


@pytest.mark.parametrize("name", ["candidate", "champion", "prepared", "decision"])
def test_what_is_not_there_is_named(inputs, tmp_path, name):
    with pytest.raises(UnavailableError) as caught:
        read_sources(dataclasses.replace(inputs, **{name: tmp_path / "gone"}))
    assert (caught.value.obj, caught.value.message) == (str(tmp_path / "gone"), "is no directory.")
    assert caught.value.hint.startswith("Make it with `groundwork referring ")


def test_another_models_verdict_is_refused(inputs, tmp_path):
    judge_referring(
        inputs.champion, inputs.candidate, policy=inputs.prepared.parent / "policy.yaml", out=tmp_path / "x"
    )
    with pytest.raises(IntegrityError, match=r"is about evaluations .*, the page about"):
        read_sources(dataclasses.replace(inputs, decision=tmp_path / "x"))
    with pytest.raises(IntegrityError, match="is about evaluations"):
        read_sources(dataclasses.replace(inputs, champion=None))
    shutil.copytree(inputs.decision, tmp_path / "y")
    (tmp_path / "y" / "decision.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"changed decision\.json"):
        read_sources(dataclasses.replace(inputs, decision=tmp_path / "y"))


def test_other_data_or_another_kind_are_refused(inputs, tmp_path):
    write_document(tmp_path / "val.json", images=10, seed=5)
    prepare_referring([str(tmp_path / "val.json")], source="drawn", out=tmp_path / "prepared")
    with pytest.raises(IntegrityError, match="dataset_sha256 is '"):
        read_sources(dataclasses.replace(inputs, prepared=tmp_path / "prepared"))
    evaluate_referring(
        prepared=inputs.prepared,
        split="val",
        predictions=inputs.champion / "predictions.jsonl",
        kind="masks",
        out=tmp_path / "masks",
    )
    with pytest.raises(IntegrityError, match="definition is 'referring-masks/1'"):
        read_sources(dataclasses.replace(inputs, champion=tmp_path / "masks", decision=None))


def test_a_table_of_other_expressions_is_refused(inputs, tmp_path):
    def rewrite(out, change):
        def write(folder):
            for path in inputs.candidate.iterdir():
                if path.name != "manifest.json":
                    shutil.copy(path, folder)
            table = pd.read_parquet(folder / "per_expression.parquet")
            change(table).to_parquet(folder / "per_expression.parquet", index=False)

        commit_directory(out, write, schema=EVALUATION_SCHEMA)
        return dataclasses.replace(inputs, candidate=out, champion=None, decision=None)

    shorter = rewrite(tmp_path / "shorter", lambda table: table.iloc[1:])
    with pytest.raises(IntegrityError, match="its table is not about the prepared expressions"):
        read_sources(shorter)
    without = rewrite(tmp_path / "without", lambda table: table.drop(columns="iou"))
    with pytest.raises(IntegrityError, match="per_expression cannot be read"):
        read_sources(without)
