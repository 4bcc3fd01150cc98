"""Weights from one module into another: every name must fit, and what names do not show is compared.

Nothing of detectron2 is imported.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from models.segmentation.detectron2_names import Renamed


def take_over(module: nn.Module, renamed: Renamed) -> None:
    """Copy weights into a module that has exactly these.

    Raises:
        ValueError: If a name has no counterpart on either side, or a weight another shape; with every name.
            The module is left as it was.
    """
    wanted = module.state_dict()
    strange = sorted({*renamed.unmatched, *(renamed.weights.keys() - wanted.keys())})
    missing = sorted(wanted.keys() - renamed.weights.keys())
    other = [
        f"{name} {tuple(value.shape)} for {tuple(wanted[name].shape)}"
        for name, value in sorted(renamed.weights.items())
        if name in wanted and value.shape != wanted[name].shape
    ]
    found = {"without a counterpart": strange, "missing": missing, "of another shape": other}
    wrong = [f"{len(names)} {what}: {', '.join(names)}" for what, names in found.items() if names]
    if wrong:
        raise ValueError(f"the weights do not fit {type(module).__name__}; {'; '.join(wrong)}.")
    module.load_state_dict(renamed.weights)


def check_convolutions(
    theirs: nn.Module, ours: nn.Module, rename: Callable[[Mapping[str, Tensor]], Renamed]
) -> None:
    """Compare what names and shapes of weights do not show: where a network strides, pads and dilates.

    Args:
        theirs: A module.
        ours: What its weights are to be copied into.
        rename: Names the weights of the former as the latter does.

    Raises:
        ValueError: With the first convolution that differs.
    """
    listed = [(name, part) for name, part in theirs.named_modules() if isinstance(part, nn.Conv2d)]
    places = rename({f"{name}.weight": torch.tensor(place) for place, (name, _) in enumerate(listed)})
    parts = dict(ours.named_modules())
    for name, place in places.weights.items():
        given, wanted = listed[int(place)][1], parts[name.removesuffix(".weight")]
        for what in ("stride", "padding", "dilation", "groups"):
            if getattr(given, what) != getattr(wanted, what):
                raise ValueError(
                    f"{listed[int(place)][0]} has {what} {getattr(given, what)}, ours has "
                    f"{getattr(wanted, what)}: with the same weights the two networks would say different "
                    f"things (MODEL.RESNETS.STRIDE_IN_1X1 must be False)."
                )
