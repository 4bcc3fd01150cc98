"""What a stage begins with: nothing is random unless asked for, and settings agree with the recipe."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from models.region_lm.build import build_vision
from models.region_lm.language_model import language_config
from tasks.data.region_mix import open_mix
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.operations.region_model_files import save_region_model
from tasks.operations.region_start import begin_model
from tests.models.region_lm.systems import new_system, recipe
from tests.models.region_lm.vocabularies import byte_level
from tests.tasks.data.test_region_mix import part
from tests.tasks.operations.tiny_regions import request, write_world

OSPREY = recipe("osprey_tiny")
LLAVA = recipe("llava_tiny")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def samples(world):
    return open_mix([part(world)], seed=0).samples


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A language model with its tokenizer, and an encoder, as transformers saves them."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(7)
    tokenizer = byte_level()
    settings = replace(OSPREY.language, vocabulary=len(tokenizer), width=32)
    LlamaForCausalLM(language_config(settings)).to(torch.bfloat16).save_pretrained(folder / "language")
    tokenizer.save_pretrained(folder / "language")
    build_vision(OSPREY.model.vision).model.save_pretrained(folder / "vision")
    return folder


def equal(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_from_nothing_the_seed_and_the_texts_decide(world, samples, tmp_path):
    asked = request(world, tmp_path / "out")
    first, again, other = (begin_model(asked, OSPREY, samples, seed=seed) for seed in (0, 0, 1))
    assert equal(first.model.state_dict(), again.model.state_dict())
    assert not equal(first.model.state_dict(), other.model.state_dict())
    assert first.dtype == torch.float32
    assert first.inputs["language"]["width"] == 64
    assert (first.inputs["vision"], first.inputs["tokenizer"]) == (None, None)
    said = first.processor.tokenizer.tokenize("small yellow triangle")
    assert len(said) < len("small yellow triangle") / 2  # words of the data became tokens


def test_trained_parts_are_put_together(world, samples, trained, tmp_path):
    asked = request(
        world, tmp_path / "out", language=trained / "language", vision=trained / "vision", random=False
    )
    found = begin_model(asked, OSPREY, samples, seed=0)
    assert found.dtype == torch.bfloat16
    language = LlamaForCausalLM.from_pretrained(trained / "language")
    assert torch.equal(found.model.language.model.norm.weight, language.model.norm.weight)
    assert found.model.config.get_text_config().hidden_size == 32
    encoder = build_vision(OSPREY.model.vision)
    encoder.model = type(encoder.model).from_pretrained(trained / "vision")
    assert equal(encoder.state_dict(), found.model.vision.state_dict())
    assert {"config.json", "model.safetensors"} <= found.inputs["language"].keys()
    assert found.inputs["vision"].keys() >= {"model.safetensors"}
    other = begin_model(replace(asked, vision=None, random=True), OSPREY, samples, seed=0)
    assert not equal(encoder.state_dict(), other.model.vision.state_dict())


def test_a_committed_model_must_be_the_recipe_s(world, tmp_path):
    processor, model = new_system("osprey_tiny")
    sha256 = save_region_model(tmp_path / "model", model, processor, provenance={})
    asked = request(world, tmp_path / "out", parent=tmp_path / "model")
    found = begin_model(asked, OSPREY, [], seed=0)
    assert found.inputs == {"parent_sha256": sha256}
    assert equal(model.state_dict(), found.model.state_dict())
    other = replace(OSPREY.model, regions=replace(OSPREY.model.regions, hidden=16))
    said = r"was made with model\.regions\.hidden 32, the recipe has 16\. .*--set model\.regions\.hidden=32`"
    with pytest.raises(UsageError, match=said):
        begin_model(asked, replace(OSPREY, model=other), [], seed=0)
    with pytest.raises(
        UsageError, match=r"was made with model\.images\.kind 'stretch', the recipe has 'pad_square'"
    ):
        begin_model(asked, LLAVA, [], seed=0)
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"changed config\.json"):
        begin_model(asked, OSPREY, [], seed=0)


def test_parts_that_do_not_fit_are_named(world, samples, trained, tmp_path):
    def begin(used=OSPREY, **given):
        return begin_model(request(world, tmp_path / "out", **given), used, samples, seed=0)

    with pytest.raises(DataError, match=r"must be a folder with config\.json of a causal language model"):
        begin(language=trained, tokenizer=trained / "language")
    with pytest.raises(
        DataError, match=r"it has neither tokenizer\.json nor tokenizer\.model\. Name a folder"
    ):
        begin(tokenizer=trained / "vision")
    small = replace(OSPREY, language=replace(OSPREY.language, vocabulary=300))
    with pytest.raises(
        DataError, match=r"the language model has 300 tokens, but .*--set language\.vocabulary"
    ):
        begin(small, tokenizer=trained / "language")
    with pytest.raises(DataError, match=r"a vocabulary needs 256 bytes and 3 special tokens, got 100\."):
        begin(replace(OSPREY, language=replace(OSPREY.language, vocabulary=100)))
    with pytest.raises(DataError, match=r"config\.json"):
        begin(LLAVA, vision=trained / "vision")
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(
        DataError, match=r"a\.safetensors: has no value for \d+ weights of the encoder, such as vision"
    ):
        begin(vision=tmp_path / "a.safetensors")


BLOCK = {
    "language": "model.layers.1.mlp.gate_proj.weight",
    "vision": "encoder.stages.0.layers.0.pwconv1.weight",
}
NOT_WEIGHTS = {
    "quantised": (lambda value: (value * 100).to(torch.int8), DataError, "holds '{}' as I8: it is quantised"),
    "no number": (lambda value: value / 0, DataError, "'{}' holds NaN or infinity"),
    "cut off": (None, IntegrityError, "is damaged"),
}


@pytest.fixture
def altered(trained, tmp_path):
    """Copy a trained part, and change one weight of it or the file."""

    def alter(part, change):
        folder = tmp_path / part
        shutil.copytree(trained / part, folder)
        path = folder / "model.safetensors"
        if change is None:
            path.write_bytes(path.read_bytes()[:-100])
        else:
            state = load_file(path)
            save_file({**state, BLOCK[part]: change(state[BLOCK[part]])}, path, {"format": "pt"})
        return folder

    return alter


@pytest.mark.parametrize("part", ["language", "vision"])
@pytest.mark.parametrize("fault", NOT_WEIGHTS)
def test_weights_that_are_none_are_named_with_their_file(
    world, samples, trained, altered, tmp_path, part, fault
):
    change, kind, message = NOT_WEIGHTS[fault]
    folders = {"language": trained / "language", "vision": trained / "vision"}
    asked = request(world, tmp_path / "out", random=False, **(folders | {part: altered(part, change)}))
    with pytest.raises(kind) as caught:
        begin_model(asked, OSPREY, samples, seed=0)
    assert message.format(BLOCK[part]) in caught.value.message
    assert caught.value.obj == str(tmp_path / part / "model.safetensors")


@pytest.mark.parametrize("option", ["parent", "language", "vision", "tokenizer"])
def test_what_is_not_there_is_named_as_it_was(world, tmp_path, option):
    asked = request(world, tmp_path / "out", **{option: tmp_path / "nosuch"})
    with pytest.raises(DataError, match=r"nosuch: no such file or folder\. Correct the path") as caught:
        begin_model(asked, OSPREY, [], seed=0)
    assert caught.value.obj.startswith("--from" if option == "parent" else f"--{option}")


def test_a_change_of_the_recipe_is_named(world, tmp_path):
    small = replace(OSPREY, language=replace(OSPREY.language, vocabulary=100))
    asked = request(world, tmp_path / "out", changes=("language.vocabulary=100",))
    with pytest.raises(DataError, match=r"Say another `--set language\.vocabulary=") as caught:
        begin_model(asked, small, [], seed=0)
    assert caught.value.obj == "osprey_tiny --set language.vocabulary=100"
