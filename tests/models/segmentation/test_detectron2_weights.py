import re

import pytest
import torch
from torch import nn

from models.segmentation.detectron2_names import Renamed
from models.segmentation.detectron2_weights import check_convolutions, take_over


def renamed(weights, unmatched=()):
    return Renamed(weights=weights, unmatched=unmatched)


def test_weights_are_copied():
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    take_over(target, renamed(source.state_dict()))
    assert torch.equal(target.weight, source.weight)
    assert target.weight is not source.weight


def test_every_name_that_does_not_fit_is_named_and_nothing_changes():
    target = nn.Linear(2, 3)
    before = target.weight.detach().clone()
    given = renamed({"weight": torch.ones(3, 4), "strange": torch.ones(1)}, unmatched=("old", "b.old"))
    message = (
        "the weights do not fit Linear; 3 without a counterpart: b.old, old, strange; 1 missing: bias; "
        "1 of another shape: weight (3, 4) for (3, 2)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        take_over(target, given)
    assert torch.equal(target.weight, before)


def under_ours(weights):
    return renamed({f"ours.{name}": value for name, value in weights.items()})


@pytest.mark.parametrize("change", [{"stride": 2}, {"padding": 2}, {"dilation": 2}, {"groups": 2}])
def test_a_convolution_that_strides_or_pads_elsewhere_is_refused(change):
    theirs = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, **change))
    ours = nn.ModuleDict(
        {"ours": nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3))}
    )
    what, value = next(iter(change.items()))
    with pytest.raises(ValueError, match=rf"^2 has {what} .*{value}.*, ours has .*: with the same weights"):
        check_convolutions(theirs, ours, under_ours)
    check_convolutions(ours["ours"], ours, under_ours)
