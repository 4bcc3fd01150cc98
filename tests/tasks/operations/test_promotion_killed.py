"""A gate that is killed has decided nothing, and nothing is promoted; the next run ends what was begun."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.tasks.operations.challenger import make_challenger

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release"), pytest.mark.timeout(600)]


def killed(root, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "tests.tasks.operations.killed_promotion", str(root), *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert {point["signal"] for point in found["points"].values()} == {9}, done.stderr[-3000:]
    assert all(point["broken"] == [] for point in found["points"].values())
    return found


def assert_decided_once(points):
    decided = {name: len(point["decisions"]) for name, point in points.items()}
    assert [decided["while_reading_the_evidence"], decided["before_the_decision_is_visible"]] == [0, 0]
    assert set(list(decided.values())[2:]) == {1}, "the same question has the same decision, once"


def test_a_gate_that_is_killed_has_decided_nothing(copied):
    root, _, _ = copied
    make_challenger(root)
    points = killed(root, "short")["points"]
    assert_decided_once(points)
    assert {tuple(point["kinds"]) for point in points.values()} == {("promote",)}


@pytest.mark.slow
def test_a_promotion_killed_anywhere_is_either_whole_or_nothing(copied):
    root, _, _ = copied
    make_challenger(root)
    found = killed(root)
    assert_decided_once(found["points"])
    kinds = {name: tuple(point["kinds"]) for name, point in found["points"].items()}
    last = kinds.pop("before_the_alias_follows")
    assert last == ("promote", "override"), "the line is durable before anything follows it"
    assert set(kinds.values()) == {("promote",)}
    assert found["alias"] == ["1", "2"], "the next promotion lets the alias follow"
    assert found["kept"] == "override"
    assert found["end"]["kinds"] == ["promote", "override"]
    assert found["end"]["alias"] == found["end"]["version"] == "2"
