"""Weights by name, whatever stands before the name; what does not fit is named."""

import re
import shlex
import sys

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18
from torchvision.ops import FrozenBatchNorm2d
from transformers import ResNetConfig, ResNetModel

from models.segmentation.backbones import resnet_pyramid
from models.segmentation.recipes import build_instance_model
from tasks.data.backbone_weights import load_backbone
from tasks.errors import DataError
from tests.models.segmentation.test_recipes import read


@pytest.fixture
def body():
    return resnet_pyramid("resnet18", width=32, norm="frozen").body


def saved(path, module):
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
    return path


def test_a_resnet_of_torchvision(body, tmp_path):
    given = resnet18(weights=None)
    given.bn1.running_mean.fill_(0.5)
    loaded = load_backbone(body, saved(tmp_path / "r18.safetensors", given))
    assert loaded.matched == len(body.state_dict())
    assert loaded.missing == ()
    assert loaded.unused == ("fc.bias", "fc.weight")
    assert isinstance(body.bn1, FrozenBatchNorm2d)
    assert body.bn1.running_mean.eq(0.5).all()
    assert torch.equal(body.layer4[1].conv2.weight, given.layer4[1].conv2.weight)
    assert str(loaded) == "backbone: 100 weights taken over; missing none; unused 2 (fc.bias, fc.weight)"


def test_a_resnet_of_transformers_under_a_prefix(tmp_path):
    from dataclasses import replace

    recipe = replace(read("tiny_query"), norm="frozen")
    encoder = build_instance_model(recipe).network.model.pixel_level_module.encoder
    config = ResNetConfig(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic")
    given = torch.nn.ModuleDict({"resnet": ResNetModel(config)})
    loaded = load_backbone(encoder, saved(tmp_path / "model.safetensors", given))
    assert loaded.missing == ()
    assert loaded.unused == ()
    name = "embedder.embedder.convolution.weight"
    assert torch.equal(encoder.state_dict()[name], given["resnet"].state_dict()[name])


def test_what_is_missing_is_named(body, tmp_path):
    given = {name: value for name, value in resnet18().state_dict().items() if not name.startswith("layer4")}
    save_file(given, tmp_path / "part.safetensors")
    loaded = load_backbone(body, tmp_path / "part.safetensors")
    assert "layer4.0.conv1.weight" in loaded.missing
    assert re.search(r"missing \d+ \(layer4\.0\.bn1\.bias, .*, \.\.\.\)", str(loaded))


def test_what_does_not_fit_changes_nothing(body, tmp_path):
    before = {name: value.clone() for name, value in body.state_dict().items()}
    given = resnet18().state_dict()
    for change, message in (
        (
            {"layer4.1.bn2.weight": torch.ones(3)},
            r"layer4\.1\.bn2\.weight has shape \(3,\), .* needs \(512,\)",
        ),
        ({"layer4.1.bn2.weight": torch.full((512,), torch.nan)}, "layer4.1.bn2.weight holds NaN or infinity"),
    ):
        save_file(given | change, tmp_path / "bad.safetensors")
        with pytest.raises(DataError, match=message):
            load_backbone(body, tmp_path / "bad.safetensors")
    save_file({"other": torch.ones(1)}, tmp_path / "bad.safetensors")
    with pytest.raises(DataError, match=r"no name fits: it has 1 \(other\), the backbone has 100"):
        load_backbone(body, tmp_path / "bad.safetensors")
    assert all(torch.equal(before[name], value) for name, value in body.state_dict().items())


@pytest.mark.parametrize("wrapped", [None, "model", "state_dict"])
def test_a_pickle_is_not_opened_and_the_hint_converts_it(body, tmp_path, monkeypatch, wrapped):
    folder = tmp_path / "with a space"
    folder.mkdir()
    weights = resnet18().state_dict()
    torch.save(weights if wrapped is None else {wrapped: weights}, folder / "resnet18.pth")
    with pytest.raises(DataError, match="pickles are not opened") as caught:
        load_backbone(body, folder / "resnet18.pth")
    command, rest = re.fullmatch(r"Convert it once by `(.*)`, then name (.*)\.", caught.value.hint).groups()
    python, flag, code, *files = shlex.split(command)
    assert (python, flag) == ("python", "-c")
    assert shlex.split(rest) == files[1:]
    monkeypatch.setattr(sys, "argv", ["-c", *files])
    exec(code, {})
    assert load_backbone(body, folder / "resnet18.safetensors").missing == ()


def test_a_file_of_the_zoo_of_detectron2_has_its_own_page(body, tmp_path):
    hint = r"docs/detectron2\.md says how a ResNet of it is converted\.$"
    with pytest.raises(DataError, match=rf"R-50\.pkl: is no safetensors file; .*{hint}"):
        load_backbone(body, tmp_path / "R-50.pkl")


def test_files_that_cannot_be_read(body, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"12345678")
    for name in ("cut", "absent"):
        with pytest.raises(DataError, match=rf"{name}\.safetensors: cannot be read"):
            load_backbone(body, tmp_path / f"{name}.safetensors")
