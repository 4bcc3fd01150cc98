import dataclasses

import pytest
import torch

from benchmarks import region_mllm_runs
from benchmarks.region_mllm_encoder import TeachingSettings
from benchmarks.region_mllm_language import ReadingSettings
from benchmarks.region_mllm_runs import Place, Size, finished

SIZE = Size(
    train=2,
    asked=1,
    teaching=TeachingSettings(steps=1, images_per_step=2),
    reading=ReadingSettings(steps=1, conversations_per_step=2),
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
