"""Named parts round, what they return does not; a family's own choice of parts is tested with the family."""

import pytest
import torch
from torch import nn

from models.blocks.mixed_precision import parts_in_bfloat16, to_float32


def test_parts_round_until_the_block_ends():
    torch.manual_seed(0)
    model, given = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), torch.randn(3, 8)
    exact = model(given)
    with parts_in_bfloat16([model[1]]):
        assert torch.equal(model[0](given), nn.Sequential(model[0])(given))
        rounded = model(given)
        assert not torch.is_autocast_enabled("cpu")
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, atol=0.05)
    rounded.sum().backward()
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model(given), exact)


def test_an_error_inside_ends_the_rounding():
    part = nn.Linear(8, 8)
    with parts_in_bfloat16([part]), pytest.raises(RuntimeError):
        part(torch.zeros(1, 4))
    assert not torch.is_autocast_enabled("cpu")
    assert not part._forward_hooks


def test_every_container_is_reached():
    half = torch.ones(2, dtype=torch.bfloat16)
    found = to_float32({"list": [half, (half, None)], "index": torch.tensor([3])})
    assert found["list"][0].dtype == found["list"][1][0].dtype == torch.float32
    assert found["index"].dtype == torch.int64
    assert to_float32("text") == "text"
