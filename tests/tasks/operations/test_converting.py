"""Published checkpoints of all three systems become ours, to the bit; what does not fit is said."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.region_lm.hub import RegionMLLM
from models.region_lm.processing import RegionProcessor
from tasks.data.commit import hash_file, verify_directory
from tasks.errors import DataError, GroundworkError, IntegrityError, UsageError
from tasks.operations.converting import REGION_MODEL_SCHEMA, ConvertRequest, convert_checkpoint
from tests.models.region_lm.published import TOWER, save_published
from tests.models.region_lm.systems import ROOT, mixed


def request(system: str, folder: Path, **more: object) -> ConvertRequest:
    asked = ConvertRequest(system=system, folder=folder, out=folder.parent / "out", recipe=f"{system}_tiny")
    return replace(asked, **more)


def convert(system: str, folder: Path, **more: object) -> dict:
    return convert_checkpoint(request(system, folder, **more), ROOT)


def same_logits(system: str, processor: RegionProcessor, model: RegionMLLM, out: Path, known: int) -> bool:
    """Compare what both say about images and regions; rows of new placeholders are no published ones."""
    loaded, again = RegionMLLM.from_pretrained(out).eval(), RegionProcessor.from_pretrained(out)
    samples = mixed(f"{system}_tiny")
    with torch.no_grad():
        expected, found = model(processor(samples)).logits, loaded(again(samples)).logits
    return bool(torch.equal(expected[..., :known], found[..., :known]))


@pytest.mark.parametrize(
    ("system", "form", "parts"),
    [
        ("osprey", "safetensors", 1),
        ("osprey", "bin", 2),
        ("tokenpacker", "safetensors", 3),
        ("tokenpacker", "bin", 1),
        ("llava", "safetensors", 1),
    ],
)
def test_logits_are_those_of_the_source(tmp_path, system, form, parts):
    folder, out = tmp_path / "published", tmp_path / "out"
    processor, model = save_published(system, folder, form=form, parts=parts)
    document = convert(system, folder, sandbox=form == "bin")
    known = len(processor.tokenizer) - len(processor.placeholder_ids)
    assert same_logits(system, processor, model, out, known)
    assert document["missing"] == []
    assert document["unmatched"] == {"checkpoint": []}
    assert document["matched"] == len(model.state_dict())
    assert document["added"] == list(processor.placeholder_ids)
    manifest = verify_directory(out, schema=REGION_MODEL_SCHEMA)
    assert document["sha256"] == manifest.sha256
    sources = manifest.provenance["sources"]
    assert sources["checkpoint/config.json"] == hash_file(folder / "config.json")
    assert len([name for name in sources if name.endswith(form)]) == parts
    assert len([name for name in sources if name.endswith(".index.json")]) == (parts > 1)
    assert manifest.provenance["recipe"] == f"{system}_tiny"


def test_converting_twice_gives_the_same_bytes(tmp_path):
    save_published("llava", tmp_path / "published")
    first = convert("llava", tmp_path / "published")
    assert convert("llava", tmp_path / "published") == first


def test_names_without_a_place_are_reported_each(tmp_path):
    extra = {
        "model.extra.weight": torch.ones(2),
        "model.layers.7.mlp.up_proj.weight": torch.ones(2),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2),
    }
    save_published("llava", tmp_path / "published", change=lambda state: state.update(extra))
    document = convert("llava", tmp_path / "published")
    assert sorted(document["unmatched"]["checkpoint"]) == sorted(extra)[:1] + sorted(extra)[2:]
    assert document["computed"]["checkpoint"] == ["model.layers.0.self_attn.rotary_emb.inv_freq"]
    provenance = verify_directory(tmp_path / "out").provenance
    assert provenance["unmatched"] == document["unmatched"]


def test_a_missing_weight_is_an_error_and_nothing_is_written(tmp_path):
    save_published("osprey", tmp_path / "published", change=lambda state: state.pop("lm_head.weight"))
    with pytest.raises(
        DataError, match=r"no value for 1 parameters: language\.lm_head\.weight; none is left"
    ):
        convert("osprey", tmp_path / "published")
    assert not (tmp_path / "out").exists()
    document = convert("osprey", tmp_path / "published", out=None)
    assert document["missing"] == ["language.lm_head.weight"]
    assert document["out"] is None


def without_tower(state: dict) -> dict:
    return {name: state.pop(name) for name in list(state) if name.startswith(TOWER)}


@pytest.mark.parametrize("system", ["osprey", "llava"])
def test_an_encoder_that_is_published_apart(tmp_path, system):
    folder, tower = tmp_path / "published", tmp_path / "encoder.safetensors"

    def move(state):
        apart = {name.removeprefix(TOWER): value for name, value in without_tower(state).items()}
        save_file({**apart, "text_projection": torch.ones(1)}, tower)

    processor, model = save_published(system, folder, change=move)
    with pytest.raises(DataError, match="none is left random") as caught:
        convert(system, folder)
    assert "--vision" in caught.value.hint
    document = convert(system, folder, vision=tower)
    assert document["unmatched"] == {"checkpoint": [], "vision": ["text_projection"]}
    known = len(processor.tokenizer) - len(processor.placeholder_ids)
    assert same_logits(system, processor, model, tmp_path / "out", known)


def test_an_encoder_of_transformers(tmp_path):
    folder = tmp_path / "published"
    processor, model = save_published("llava", folder, change=without_tower)
    model.vision.model.save_pretrained(tmp_path / "clip")
    (folder / "special_tokens_map.json").write_text("{}")
    assert convert("llava", folder, vision=tmp_path / "clip")["missing"] == []
    sources = verify_directory(tmp_path / "out").provenance["sources"]
    assert sources["vision/config.json"] == hash_file(tmp_path / "clip" / "config.json")
    assert sources["tokenizer/special_tokens_map.json"] == hash_file(folder / "special_tokens_map.json")
    known = len(processor.tokenizer) - 1
    assert same_logits("llava", processor, model, tmp_path / "out", known)
    config = tmp_path / "clip" / "config.json"
    config.write_text(config.read_text().replace('"quick_gelu"', '"gelu"'))
    with pytest.raises(
        DataError, match="says hidden_act: 'gelu', but the encoder that the recipe builds has"
    ):
        convert("llava", folder, vision=tmp_path / "clip")


@pytest.mark.parametrize("option", ["vision", "tokenizer"])
def test_a_folder_that_is_not_there(tmp_path, option):
    with pytest.raises(DataError, match=rf"--{option} .*nosuch: no such file or folder"):
        convert("llava", tmp_path, **{option: tmp_path / "nosuch"})
    with pytest.raises(DataError, match="nosuch: no such file or folder"):
        convert("llava", tmp_path / "nosuch")


def test_an_encoder_that_nobody_needs(tmp_path):
    save_published("llava", tmp_path / "published")
    with pytest.raises(UsageError, match="is not needed"):
        convert("llava", tmp_path / "published", vision=tmp_path)


def test_another_shape_names_both(tmp_path):
    name = "model.mm_projector.0.weight"
    save_published(
        "llava", tmp_path / "published", change=lambda state: state.update({name: torch.ones(3, 4)})
    )
    with pytest.raises(
        DataError, match=r"'model\.mm_projector\.0\.weight' has the shape \[3, 4\], but 'projector"
    ):
        convert("llava", tmp_path / "published")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((64,), float("nan")), "'model.norm.weight' holds NaN or infinity."),
        (torch.ones(64, dtype=torch.int8), "holds 'model.norm.weight' as I8: it is quantised"),
        (torch.full((64,), 1e6), "'model.norm.weight' does not fit in torch.float16."),
    ],
)
def test_values_that_are_no_weights(tmp_path, value, message):
    save_published(
        "llava", tmp_path / "published", change=lambda state: state.update({"model.norm.weight": value})
    )
    with pytest.raises(DataError) as caught:
        convert("llava", tmp_path / "published", dtype="float16")
    assert message in caught.value.message


def test_one_type_for_every_weight(tmp_path):
    def mix(state):
        for name in state:
            if not name.startswith(TOWER):
                state[name] = state[name].to(torch.bfloat16)

    save_published("llava", tmp_path / "published", change=mix)
    document = convert("llava", tmp_path / "published")
    assert document["dtype"] == "bfloat16"
    assert document["cast"] > 10
    loaded = RegionMLLM.from_pretrained(tmp_path / "out")
    assert {value.dtype for value in loaded.parameters()} == {torch.bfloat16}
    with pytest.raises(UsageError, match="is none of float32, bfloat16, float16"):
        convert("llava", tmp_path / "published", dtype="int8")


def test_a_checkpoint_that_contradicts_the_recipe(tmp_path):
    save_published("tokenpacker", tmp_path / "published")
    with pytest.raises(DataError, match="says scale_factor: 2, but the recipe has 4") as caught:
        convert("tokenpacker", tmp_path / "published", changes=("model.projector.scale=4",))
    assert "--set model.projector.scale=2" in caught.value.hint


class Attack:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def hostile(path: Path, mark: Path) -> None:
    torch.save({"lm_head.weight": Attack(mark)}, path)


@pytest.mark.parametrize("kind", ["attack", "cut off", "huge"])
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path, kind):
    folder, mark = tmp_path / "published", tmp_path / "ran"
    save_published("llava", folder, form="bin")
    path = folder / "pytorch_model.bin"
    if kind == "attack":
        hostile(path, mark)
    elif kind == "cut off":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        torch.save({"lm_head.weight": torch.zeros(1).expand(1 << 40)}, path)
    with pytest.raises(IntegrityError, match="may hold a program; it was not opened"):
        convert("llava", folder)
    with pytest.raises(IntegrityError) as caught:
        convert("llava", folder, sandbox=True)
    wanted = {"attack": "global posix.system", "cut off": "not a whole zip", "huge": "beyond its storage"}[
        kind
    ]
    assert wanted in caught.value.message
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def shorter(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 100}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").write_text("[]"), "is no JSON object"),
        (lambda folder: (folder / "config.json").unlink(), "cannot be read"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "gpt2"}'),
            "model_type must be one of",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), "neither tokenizer.json nor tokenizer.model"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has none of"),
        (shorter, "the language model has 100 tokens, but the tokenizer has"),
    ],
)
def test_folders_that_are_not_whole(tmp_path, change, message):
    folder = tmp_path / "published"
    save_published("llava", folder)
    change(folder)
    with pytest.raises(GroundworkError) as caught:
        convert("llava", folder)
    assert message in caught.value.message
    assert caught.value.hint


def test_another_folder_is_not_replaced(tmp_path):
    save_published("llava", tmp_path / "published")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        convert("llava", tmp_path / "published")
