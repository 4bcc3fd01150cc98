import json

import torch

from benchmarks.affinity_device import copy_rate, profile, traffic


def test_the_profile_runs_on_cpu_tensors():
    document = json.loads(json.dumps(profile(torch.device("cpu"), quick=True)))
    assert document["backends"]["torch"] == "used"
    assert document["copy_bytes_per_second"] > 0
    (first, *_) = document["profiles"]
    assert (first["backend"], first["trees"], first["height"], first["width"]) == ("torch", 2, 12, 16)
    assert set(first["times"]) == {"tree and pass", "tree alone", "pass alone"}
    assert first["launches"] == 0
    assert first["time_over_traffic"] > 0
    assert first["pass_over_floor"] > 0
    assert first["pass_waits_for_host"] is None


def test_a_rate_is_positive():
    assert copy_rate(torch.device("cpu"), size=4096) > 0


def test_the_traffic_model_needs_no_device():
    slow, fast = traffic(1e12), traffic(2e12)
    assert [(size["trees"], size["height"], size["width"]) for size in slow["sizes"]] == [
        (300, 96, 96),
        (32, 200, 304),
    ]
    for one, other in zip(slow["sizes"], fast["sizes"], strict=True):
        assert one["bytes"] == other["bytes"]
        assert set(one["bytes"]) == {"spanning_tree", "hierarchy", "spread"}
        assert abs(one["floor_ms"] - 2 * other["floor_ms"]) < 0.002
        assert 0 < one["pass_floor_ms"] < one["floor_ms"]
