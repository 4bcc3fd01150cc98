import dataclasses

import pytest
import torch

from benchmarks import region_mllm_runs
from benchmarks.region_mllm_parts import PartSettings
from benchmarks.region_mllm_runs import Place, Size, finished

ONE_STEP = PartSettings(steps=1, per_step=2, learning_rate=1e-2, warmup=1, average=0.0)
SIZE = Size(
    train=2,
    asked=1,
    teaching=ONE_STEP,
    reading=ONE_STEP,
)


def test_a_finished_system_is_not_repeated(tmp_path, monkeypatch):
    """Encoder and language model are taught once a seed; what is finished is read, at its own size alone."""
    threads = torch.get_num_threads()
    place = Place(cache=tmp_path / "cache", images=tmp_path / "images")
    place.cache.mkdir()
    try:
        first = finished("average_pool", 0, SIZE, place)
        again = finished("mlp", 0, SIZE, place)
        finished("average_pool", 1, SIZE, place)
        files = sorted(path.name.replace(".", "-").split("-")[0] for path in place.cache.iterdir())
        assert files == ["average_pool"] * 2 + ["encoder"] * 4 + ["language"] * 4 + ["mlp"]
        assert [result["tokens_of_an_image"] for result in (first, again)] == [16, 64]
        for result in (first, again):
            for way in ("trained", "untrained", "shuffled"):
                assert {kind: total for kind, (total, _) in result[way].items()} == {
                    kind: total for kind, (total, _) in first["trained"].items()
                }
        monkeypatch.setattr(region_mllm_runs, "run", None)
        assert finished("average_pool", 0, SIZE, place) == first
        with pytest.raises(TypeError):
            finished("average_pool", 0, dataclasses.replace(SIZE, asked=2), place)
    finally:
        torch.set_num_threads(threads)
