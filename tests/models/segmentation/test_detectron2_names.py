"""Names there and back, for every shipped recipe; the zoo's dialects; pixels that move into a convolution."""

import re

import pytest
import torch
from torch.nn import functional
from torchvision.models import resnet18, resnet50

from models.segmentation.detectron2_names import (
    OURS,
    Pixels,
    resnet_to_detectron2,
    resnet_to_torchvision,
    segmenter_from_detectron2,
    segmenter_to_detectron2,
    zoo_backbone,
)
from models.segmentation.instance_hub import new_instance_segmenter
from tests.models.segmentation.test_recipes import FILES, read

SHOWN = Pixels(mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), order="BGR")


def old_dialect(name: str) -> str:
    """Write a name of torchvision's ResNet as Caffe2 did, by hand."""
    name = re.sub(r"^bn1\.", "res_conv1_bn.", name)
    name = re.sub(r"^layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    for number, letter in ((1, "a"), (2, "b"), (3, "c")):
        name = name.replace(f".conv{number}", f".branch2{letter}")
        name = name.replace(f".bn{number}", f".branch2{letter}.bn")
    name = name.replace(".downsample.0", ".branch1").replace(".downsample.1", ".branch1.bn")
    name = re.sub(r"bn\.weight$", "bn.s", re.sub(r"bn\.bias$", "bn.b", name))
    name = re.sub(r"\.weight$", ".w", re.sub(r"\.bias$", ".b", name))
    return name.replace(".", "_").replace("fc_", "fc1000_")


@pytest.mark.parametrize("build", [resnet18, resnet50])
def test_every_name_of_a_resnet_goes_there_and_back(build) -> None:
    names = list(build().state_dict())
    there = [resnet_to_detectron2(name) for name in names]
    assert None not in there
    assert len(set(there)) == len(names)
    assert [resnet_to_torchvision(name) for name in there] == names


def test_names_as_both_sides_write_them() -> None:
    for ours, theirs in (
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_var", "stem.conv1.norm.running_var"),
        ("layer1.0.conv3.weight", "res2.0.conv3.weight"),
        ("layer3.22.bn2.bias", "res4.22.conv2.norm.bias"),
        ("layer4.0.downsample.0.weight", "res5.0.shortcut.weight"),
        ("layer2.0.downsample.1.weight", "res3.0.shortcut.norm.weight"),
        ("fc.bias", "linear.bias"),
    ):
        assert resnet_to_detectron2(ours) == theirs
        assert resnet_to_torchvision(theirs) == ours
    assert resnet_to_detectron2("layer5.0.conv1.weight") is None
    assert resnet_to_torchvision("fpn_lateral2.weight") is None


def test_the_older_dialect() -> None:
    assert resnet_to_torchvision("res2_0_branch2a_w") == "layer1.0.conv1.weight"
    assert resnet_to_torchvision("res5_2_branch2c_bn_b") == "layer4.2.bn3.bias"
    assert resnet_to_torchvision("res3_0_branch1_bn_s") == "layer2.0.downsample.1.weight"
    assert resnet_to_torchvision("res_conv1_bn_riv") == "bn1.running_var"
    names = [name for name in resnet50().state_dict() if "num_batches" not in name and "running" not in name]
    assert [resnet_to_torchvision(old_dialect(name)) for name in names] == names


@pytest.mark.parametrize("name", FILES)
def test_a_segmenter_goes_there_and_back(name: str) -> None:
    recipe = read(name)
    with torch.device("meta"):
        segmenter = new_instance_segmenter([str(n) for n in range(recipe.num_categories)], recipe)
    ours = segmenter.state_dict()
    there = segmenter_to_detectron2(ours)
    assert there.unmatched == ()
    assert len(there.weights) == len(ours)
    if recipe.head != "query":
        assert {name.split(".")[0] for name in there.weights} == {"backbone", "head"}
        finest = 3 if recipe.head == "condinst" else 2
        assert f"backbone.fpn_lateral{finest}.weight" in there.weights
        assert f"backbone.fpn_lateral{finest - 1}.weight" not in there.weights
        assert ("backbone.top_block.p6.weight" in there.weights) == (recipe.head == "condinst")
    back = segmenter_from_detectron2(there.weights)
    assert back.unmatched == ()
    assert list(back.weights) == list(ours)
    assert all(back.weights[name] is ours[name] for name in ours)


def test_what_has_no_name_on_the_other_side_is_reported() -> None:
    one = torch.ones(1)
    there = segmenter_to_detectron2(
        {"segmenter.head.x": one, "segmenter.pyramid.body.layer9.weight": one, "a": one}
    )
    assert list(there.weights) == ["head.x"]
    assert there.unmatched == ("a", "segmenter.pyramid.body.layer9.weight")
    names = {"head.x", "proposal_generator.rpn_head.conv.weight", "backbone.bottom_up.res9.weight"}
    back = segmenter_from_detectron2(dict.fromkeys(sorted(names), one))
    assert list(back.weights) == ["segmenter.head.x"]
    assert set(back.unmatched) == names - {"head.x"}


def test_two_weights_of_one_name_are_refused() -> None:
    state = {"stem.conv1.weight": torch.ones(1), "conv1_w": torch.ones(1)}
    with pytest.raises(
        ValueError,
        match=r"^stem\.conv1\.weight and conv1_w are both conv1\.weight; a state has one of them\.$",
    ):
        zoo_backbone(state, OURS)


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_pixels_move_into_the_first_convolution(order) -> None:
    network = resnet18().eval()
    network.bn1.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    shown = Pixels(mean=SHOWN.mean, std=SHOWN.std, order=order)
    theirs = {resnet_to_detectron2(name): value for name, value in network.state_dict().items()}
    found = zoo_backbone(theirs, shown)
    assert found.unmatched == ()
    other = resnet18().eval()
    other.load_state_dict(found.weights)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    given = (image.flip(1) if order == "BGR" else image) * 255.0
    mean, std = (torch.tensor(values).double()[None, :, None, None] for values in (shown.mean, shown.std))
    expected = network.double().bn1(functional.conv2d((given - mean) / std, network.conv1.weight))
    seen = other.double().bn1(functional.conv2d((image - 0.5) * 4.0, other.conv1.weight))
    torch.testing.assert_close(seen, expected, rtol=0.0, atol=2e-6)


def test_a_norm_without_statistics_gets_some() -> None:
    names = [name for name in resnet18().state_dict() if "running" not in name and "num_" not in name]
    state = {old_dialect(name): value for name, value in resnet18().state_dict().items() if name in names}
    found = zoo_backbone(state, OURS)
    assert found.unmatched == ()
    expected = {name for name in resnet18().state_dict() if not name.endswith("num_batches_tracked")}
    assert set(found.weights) == expected
    assert found.weights["layer2.0.bn1.running_mean"].eq(0.0).all()
    assert (found.weights["layer2.0.bn1.running_var"] + 1e-5).eq(1.0).all()
    torch.testing.assert_close(found.weights["conv1.weight"], state["conv1_w"], rtol=0.0, atol=0.0)


def test_what_is_no_resnet_or_no_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a ResNet needs conv1\.weight, got \['x'\]\.$"):
        zoo_backbone({"x": torch.ones(1)}, OURS)
    with pytest.raises(ValueError, match=r"^order must be 'RGB' or 'BGR', got 'GRB'\.$"):
        Pixels(mean=(0.0,) * 3, std=(1.0,) * 3, order="GRB")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^mean and std must be 3 values, std above 0, got .* 0\.0\)\.$"):
        Pixels(mean=(0.0,) * 3, std=(1.0, 1.0, 0.0), order="RGB")
