import pytest

from benchmarks.region_mllm import KINDS, document_of, line
from benchmarks.region_mllm_runs import Size
from benchmarks.region_mllm_systems import SYSTEMS


def made(name: str, seed: int, share: float) -> dict:
    """Four images with ten questions of each kind."""
    kinds = {kind for parts in KINDS[SYSTEMS[name].topic].values() for kind in parts}
    ways = {"trained": share, "untrained": 0.0, "shuffled": 0.5}
    return {
        "system": name,
        "seed": seed,
        "encoder": {"processor_seconds": 1.0},
        "language": {"processor_seconds": 2.0},
        "weights": 7,
        "tokens_of_an_image": 16,
        "preparing_seconds": 3.0,
        "training": {"steps": 1, "processor_seconds": 4.0},
        **{
            way: {kind: [[10] * 4, [round(10 * right)] * 4] for kind in sorted(kinds)}
            for way, right in ways.items()
        },
    }


@pytest.fixture(scope="module")
def results():
    shares = dict.fromkeys(SYSTEMS, 0.8) | {"average_pool": 0.6, "mask": 0.9, "box": 0.7}
    return {name: [made(name, seed, share) for seed in (0, 1)] for name, share in shares.items()}


def test_baselines_stand_beside_every_number(results):
    document = document_of(results, Size())
    assert document["seeds"] == [0, 1]
    assert set(document["systems"]) == set(SYSTEMS)
    for name, system in document["systems"].items():
        assert set(system["right"]) == set(KINDS[SYSTEMS[name].topic])
        for numbers in system["right"].values():
            assert numbers["trained"]["by_seed"] == [numbers["trained"]["value"][0]] * 2
            assert numbers["untrained"]["value"] == [0.0, 0.0, 0.0]
            assert numbers["shuffled"]["value"] == [0.5, 0.5, 0.5]


def test_differences_are_those_of_the_question(results):
    found = document_of(results, Size())["differences"]
    assert found["token_packer minus mlp"]["all"] == [0.0, 0.0, 0.0]
    assert found["token_packer minus average_pool"]["exists"] == [0.2, 0.2, 0.2]
    assert found["mask minus box"]["caption"] == [0.2, 0.2, 0.2]


def test_some_systems_make_a_document(results):
    some = {name: results[name] for name in ("mask", "mlp")}
    document = document_of(some, Size())
    assert set(document["systems"]) == {"mask", "mlp"}
    assert document["differences"] == {}
    assert document["taught_before"]["language"]["cost"] == [{"processor_seconds": 2.0}] * 2


def test_a_line_says_every_number(results):
    assert line(results["mask"][0]).startswith("caption 0.900 0.500, exists 0.900 0.500")
