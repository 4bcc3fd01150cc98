import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from models.segmentation.mask_clip import DEVIATION, MEAN
from tasks.data.clip_weights import inspect_clip, load_clip
from tasks.data.commit import hash_file
from tasks.errors import DataError
from tests.models.segmentation.tiny_clip import PATCH, save_tiny_clip


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def folder(original, tmp_path):
    shutil.copytree(original, tmp_path / "clip")
    return tmp_path / "clip"


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_what_is_read_is_hashed(folder, tmp_path):
    files = inspect_clip(folder)
    about = files.to_json()
    assert about["files"].keys() == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert about["files"]["model.safetensors"] == hash_file(folder / "model.safetensors")
    assert (about["patch"], about["image_size"]) == (PATCH, 32)
    assert (files.mean, files.deviation) == (MEAN, DEVIATION)
    assert str(tmp_path) not in json.dumps(about)
    (folder / "pytorch_model.bin").write_bytes(b"not opened")
    (folder / "modeling.py").write_text("raise SystemExit")
    assert inspect_clip(folder).to_json() == about
    edit(folder / "tokenizer_config.json", lambda document: document.update(note="x"))
    assert inspect_clip(folder).to_json()["sha256"] != about["sha256"]


def test_model_and_tokenizer_are_those_that_were_saved(folder):
    edit(folder / "config.json", lambda document: document.update(auto_map={"AutoModel": "modeling.Evil"}))
    (folder / "modeling.py").write_text("raise SystemExit('code of a model ran')")
    clip = load_clip(inspect_clip(folder))
    assert isinstance(clip.model, CLIPModel)
    assert not clip.model.training
    saved = load_file(folder / "model.safetensors")["visual_projection.weight"]
    torch.testing.assert_close(clip.model.state_dict()["visual_projection.weight"], saved)
    tokens = clip.tokenize(["cat", "a dog"])
    assert tokens["input_ids"].shape == (2, 6)
    with pytest.raises(DataError, match="has 82 tokens, the model reads 77") as caught:
        clip.tokenize(["cat", "x" * 80])
    assert caught.value.obj.startswith("'xxx")
    assert "fewer words" in caught.value.hint


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
def test_colours_are_those_of_the_processor(folder, tmp_path, name):
    save_tiny_clip(tmp_path / "other", processor=True)
    document = json.loads((tmp_path / "other" / "preprocessor_config.json").read_text())
    nested = {"image_processor": document} if name.startswith("processor") else document
    (folder / name).write_text(json.dumps(nested))
    files = inspect_clip(folder)
    assert (files.mean, files.deviation) == ((0.5, 0.4, 0.3), (0.25, 0.5, 0.125))
    for wrong in ([0.5], "half", [0.1, 0.2, 0.0]):
        (folder / name).write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": wrong}))
        with pytest.raises(DataError, match="three numbers each, the latter above 0"):
            inspect_clip(folder)


def test_a_pickle_is_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model\.bin is a pickle, which is not opened") as caught:
        inspect_clip(folder)
    assert "Convert it once: `python -c " in caught.value.hint
    assert str(folder) in caught.value.hint


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.json", r"holds no config\.json"),
        ("model.safetensors", "holds no safetensors file"),
        ("tokenizer.json", r"neither tokenizer\.json nor vocab\.json with merges\.txt"),
    ],
)
def test_files_that_are_absent(folder, gone, message):
    (folder / gone).unlink()
    with pytest.raises(DataError, match=message) as caught:
        inspect_clip(folder)
    assert "config.json, model.safetensors and the files of the tokenizer" in caught.value.hint
    assert ("owner/name@revision" in caught.value.hint) == (gone == "model.safetensors")


def test_other_models_are_named(folder):
    edit(folder / "config.json", lambda document: document.update(model_type="siglip"))
    with pytest.raises(DataError, match="describes a model of type 'siglip', not 'clip'"):
        inspect_clip(folder)
    (folder / "config.json").write_text('{"model_type": "clip", "vision_config": {"patch_size": "x"}}')
    with pytest.raises(DataError, match="is no configuration of CLIP"):
        inspect_clip(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(DataError, match="a model of type None"):
        inspect_clip(folder)


def test_weights_that_are_absent_or_no_numbers(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="does not load as CLIP"):
        load_clip(inspect_clip(folder))
    lost = {name: value for name, value in weights.items() if name != "visual_projection.weight"}
    save_file(lost, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"1 weights .*: visual_projection\.weight"):
        load_clip(inspect_clip(folder))
    bad = {name: value.clone() for name, value in weights.items()}
    bad["text_projection.weight"][0, 0] = float("nan")
    save_file(bad, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"text_projection\.weight holds NaN or infinity"):
        load_clip(inspect_clip(folder))


def test_a_tokenizer_of_another_model_is_refused(folder):
    edit(folder / "tokenizer.json", lambda document: document["model"]["vocab"].update(extra=58))
    with pytest.raises(DataError, match=r"has 59 tokens and ends a text with number 57, the model knows 58"):
        load_clip(inspect_clip(folder))


def test_old_configurations_name_another_end(folder):
    """The authors' configurations say that a text ends with token 2; transformers then takes the last one."""
    edit(folder / "config.json", lambda document: document["text_config"].update(eos_token_id=2))
    assert load_clip(inspect_clip(folder)).tokenizer.eos_token_id == 57
    edit(folder / "config.json", lambda document: document["text_config"].update(eos_token_id=40))
    with pytest.raises(DataError, match="looks for number 40"):
        load_clip(inspect_clip(folder))
