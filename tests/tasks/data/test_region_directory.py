"""Directories of samples: read whole, or refused with the next command."""

import pytest

from tasks.data.commit import commit_directory
from tasks.data.region_directory import (
    REGION_SAMPLES_SCHEMA,
    SAMPLES,
    count_samples,
    read_region_directory,
)
from tasks.data.region_sample_files import dump_samples
from tasks.errors import IntegrityError
from tests.tasks.data.test_region_questions import sample


def commit(folder, samples, schema=REGION_SAMPLES_SCHEMA):
    return commit_directory(
        folder, lambda staging: (staging / SAMPLES).write_bytes(dump_samples(samples)), schema=schema
    )


def test_what_was_committed_is_read(tmp_path):
    samples = [sample("1/choose"), sample("2/describe-text")]
    manifest = commit(tmp_path / "d", samples)
    found = read_region_directory(tmp_path / "d")
    assert found.samples == tuple(samples)
    assert found.sha256 == manifest.sha256


def test_counts_by_hand():
    assert count_samples([sample("1/choose"), sample("2", regions=3)]) == {
        "samples": 2,
        "images": 1,
        "regions": 5,
        "masks": 0,
        "questions": 6,
        "unanswered": 2,
        "kinds": {"choose": 3, "dialogue": 3},
    }


def test_anything_else_is_refused_with_the_next_command(tmp_path):
    commit(tmp_path / "d", [sample()], schema="groundwork.other/1")
    (tmp_path / "empty").mkdir()
    for name in ("d", "empty", "absent"):
        with pytest.raises(IntegrityError, match="Name a directory that `groundwork data import-regions`"):
            read_region_directory(tmp_path / name)
    commit(tmp_path / "d", [sample()])
    (tmp_path / "d" / SAMPLES).write_text("{}\n")
    with pytest.raises(IntegrityError, match=f"changed {SAMPLES}"):
        read_region_directory(tmp_path / "d")
