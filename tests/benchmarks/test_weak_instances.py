import dataclasses

import numpy as np
import pytest
import torch

from benchmarks import weak_instances
from benchmarks.weak_instances import Run, by_source, compare, document_of, finished, line, measure
from benchmarks.weak_networks import HEADS
from benchmarks.weak_problems import WORLD, world_problem
from benchmarks.weak_training import PROJECTION, PROPAGATION, SETUPS, Setup, build


def test_measures_by_hand():
    """Two seeds, two images: objects, matched pairs, and the sum of their IoU."""
    sums = np.array([[[2, 1], [2, 0], [1.6, 0.0]], [[2, 1], [1, 1], [0.9, 0.7]]])
    found = measure(sums, np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert found["matched_iou"] == pytest.approx(np.array([[0.8, 0.8], [0.0, 0.7]]))
    assert found["recall"] == pytest.approx(np.array([[2 / 3, 2 / 3], [0.0, 1.0]]))
    assert found["found_iou"] == pytest.approx(np.array([[1.6 / 3, 1.6 / 3], [0.0, 0.7]]))


def test_a_difference_is_paired():
    """One arm is better by a tenth in every image of every seed: its interval has no width."""
    draw = np.random.default_rng(0)
    iou = draw.uniform(0.6, 0.8, (2, 5))
    plain, ours = (np.stack([np.ones((2, 5)), np.ones((2, 5)), value], axis=1) for value in (iou, iou + 0.1))
    weights = np.array([[1.0, 1, 1, 1, 1], [5.0, 0, 0, 0, 0]]), np.array([[1.0, 1.0], [2.0, 0.0]])
    found = compare({PROJECTION: plain, PROPAGATION: ours}, weights)["matched_iou"]
    assert found["minus_projection"] == {PROPAGATION: [0.1, 0.1, 0.1]}
    value, low, high = found["arms"][PROJECTION]
    assert value == pytest.approx(iou.mean(), abs=1e-4)
    assert low < high
    assert found["by_seed"][PROJECTION] == pytest.approx(iou.mean(axis=1), abs=1e-4)


def test_tiles_of_an_image_are_summed():
    run = {"objects.a": [1, 2, 4], "matched.a": [1, 1, 1], "iou.a": [0.5, 0.6, 0.7]}
    run |= {"objects.b": [1, 0, 0], "matched.b": [0, 0, 0], "iou.b": [0.0, 0.0, 0.0]}
    sums = by_source([run], ("a", "b"), np.array([0, 1, 0]))
    assert sums == pytest.approx(np.array([[[6, 2], [2, 1], [1.2, 0.6]]]))
    assert line(run) == "matched IoU 0.600, recall 0.375"


@pytest.mark.parametrize("head", HEADS)
def test_arms_start_alike(head, tmp_path):
    """The first two differ in nothing but the weights of propagation."""
    problem = world_problem(tmp_path, seeds=(1, 2), counts=(1, 1))
    setup = SETUPS[WORLD, head]
    models = {arm: build(setup, problem, seed=4, arm=arm)[0] for arm in setup.arms}
    plain, ours = models[PROJECTION].recipe, models[PROPAGATION].recipe
    assert plain.supervision.global_weight == plain.supervision.local_weight == 0.0
    assert ours.supervision.global_weight > 0.0 < ours.supervision.local_weight
    off = dataclasses.replace(ours.supervision, global_weight=0.0, local_weight=0.0)
    assert dataclasses.replace(ours, supervision=off) == plain
    first = models[PROJECTION].segmenter.state_dict()
    for model in models.values():
        assert all(torch.equal(value, first[name]) for name, value in model.segmenter.state_dict().items())


def test_a_finished_training_is_not_repeated(tmp_path, monkeypatch):
    """One step is enough to write the file; with other settings there is another file."""
    threads = torch.get_num_threads()
    problem = world_problem(tmp_path / "world", seeds=(1, 2), counts=(2, 2))
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr(weak_instances, "HEADS", ("condinst",))
    results = []
    try:
        for length in (1, 1, 2):
            changes = (
                "images.crop=64",
                f"schedule.length={length}",
                "schedule.drops=[]",
                "images_per_step=2",
            )
            setup = Setup(recipe="tiny_condinst", changes=changes, arms={PROJECTION: (), PROPAGATION: ()})
            monkeypatch.setattr(weak_instances, "SETUPS", {(WORLD, "condinst"): setup})
            results.append([finished(Run(WORLD, "condinst", arm, 0), problem, cache) for arm in setup.arms])
    finally:
        torch.set_num_threads(threads)
    assert results[0] == results[1]
    assert len(list(cache.iterdir())) == 4
    document = document_of(problem, results[2], [0])
    assert document["objects"] == sum(len(record.regions) for record in problem.asked)
    assert set(document["heads"]["condinst"]) >= {"all", "ellipse", "rectangle", "settings", "weights"}
