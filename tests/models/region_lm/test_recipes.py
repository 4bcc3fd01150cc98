"""The published numbers stand in the recipes."""

from dataclasses import replace

import pytest

from tests.models.region_lm.systems import ROOT, recipe

NAMES = sorted(path.stem for path in (ROOT / "configs" / "region_lm").glob("*.yaml"))


def rates(name: str) -> list[tuple]:
    return [
        (
            stage.name,
            {trained.part: trained.learning_rate for trained in stage.train},
            stage.global_batch,
            stage.epochs,
        )
        for stage in recipe(name).stages
    ]


def test_stages_are_those_of_the_papers():
    both = {"projector": 2e-5, "language": 2e-5}
    packer = [("align", {"projector": 1e-3}, 256, 1), ("instruct", both, 128, 1)]
    assert rates("tokenpacker") == rates("tokenpacker_hd") == packer
    assert rates("osprey") == [
        ("align", {"projector": 1e-3}, 128, 1),
        ("regions", {"regions": 2e-5}, 4, 2),
        ("instruct", {"projector": 1e-5, "regions": 1e-5, "language": 1e-5}, 4, 2),
    ]
    assert rates("tokenpacker_osprey_hd") == [*packer, ("regions", {**both, "regions": 2e-5}, 128, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_warms_up_and_falls(name):
    for stage in recipe(name).stages:
        assert (stage.schedule, stage.warmup_ratio, stage.weight_decay) == ("cosine", 0.03, 0.0)
        assert stage.lora is None
        assert all(trained.part != "vision" for trained in stage.train)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_tiny")])
def test_a_tiny_twin_has_the_same_parts(name):
    full, tiny = recipe(name).model, recipe(f"{name}_tiny").model
    assert full.images.kind == tiny.images.kind
    assert full.projector.kind == tiny.projector.kind
    assert full.vision.sides.keys() == tiny.vision.sides.keys()
    assert full.placeholders == tiny.placeholders
    assert [stage.name for stage in recipe(name).stages] == [
        stage.name for stage in recipe(f"{name}_tiny").stages
    ]


@pytest.mark.parametrize("name", NAMES)
def test_fresh_weights_are_of_the_scale_that_the_width_needs(name):
    language = recipe(name).language
    assert language.initializer_range == (language.width**-0.5 if name.endswith("_tiny") else 0.02)


def test_a_stage_goes_by_its_name():
    assert recipe("osprey_tiny").stage("regions").name == "regions"
    with pytest.raises(
        ValueError, match=r"there is no stage 'x'; there are \['align', 'regions', 'instruct'\]"
    ):
        recipe("osprey_tiny").stage("x")
    with pytest.raises(ValueError, match=r"each with a name of its own, got \[\]"):
        replace(recipe("osprey_tiny"), stages=())
    twice = recipe("osprey_tiny").stages[:1] * 2
    with pytest.raises(ValueError, match=r"got \['align', 'align'\]"):
        replace(recipe("osprey_tiny"), stages=twice)
