"""Convolutions round, losses do not; the model is left as it was."""

import pytest
import torch
from torch import nn

from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.deeplab import build_deeplab
from models.segmentation.mixed_precision import fast_parts, in_bfloat16
from tests.models.segmentation.test_instance_models import condinst, query, solo
from tests.models.segmentation.tiny import tiny_batch


def built(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


@pytest.mark.parametrize("build", [condinst, solo, query])
def test_losses_are_float32_and_nearly_the_same(build, monkeypatch):
    model, seen = built(build), set()
    convolution = nn.Conv2d.forward

    def spy(self, given):
        found = convolution(self, given)
        seen.add(found.dtype)
        return found

    monkeypatch.setattr(nn.Conv2d, "forward", spy)
    supervision = BoxSupervision(local_iterations=2)
    exact = model.losses(tiny_batch(), supervision, step=0)
    assert seen == {torch.float32}
    with in_bfloat16(model, enabled=True):
        rounded = model.losses(tiny_batch(), supervision, step=0)
        assert seen == {torch.float32, torch.bfloat16}
        assert not torch.is_autocast_enabled("cpu")
    sum(rounded.values()).backward()
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
    for name, value in exact.items():
        assert rounded[name].item() == pytest.approx(value.item(), rel=0.05, abs=0.05)
    again = model.losses(tiny_batch(), supervision, step=0)
    assert all(torch.equal(again[name], exact[name]) for name in exact)


def test_switched_off_it_changes_nothing():
    model = built(solo)
    with in_bfloat16(model, enabled=False):
        assert not model.pyramid._forward_hooks


def test_an_error_inside_ends_the_rounding():
    model = built(solo)
    with in_bfloat16(model, enabled=True), pytest.raises(RuntimeError):
        model.pyramid(torch.zeros(1, 4, 64, 64))
    assert not torch.is_autocast_enabled("cpu")
    assert not model.pyramid._forward_hooks


def deeplab():
    return build_deeplab("resnet18", num_classes=3, norm="group", width=32, embedding=16)


def test_the_decoder_of_deeplab_rounds_and_its_logits_do_not():
    model, image = built(deeplab), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = model(image)
    with in_bfloat16(model, enabled=True):
        rounded = model(image)
    assert {part.dtype for part in rounded} == {torch.float32}
    assert not torch.equal(rounded.logit_BKHW, exact.logit_BKHW)
    assert (rounded.logit_BKHW - exact.logit_BKHW).abs().mean() < 0.05 * exact.logit_BKHW.abs().mean()


@pytest.mark.parametrize("build", [condinst, solo, query, deeplab])
def test_no_part_lies_in_another(build):
    parts = fast_parts(built(build))
    inner = [module for part in parts for module in part.modules()]
    assert len(inner) == len(set(inner))
