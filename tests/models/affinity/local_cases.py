"""What the tests of local propagation share."""

import torch

from models.affinity.local import LocalPropagation

HERE = ["reference", "cpu", "torch"]
FAST = ["cpu", "torch"]


def propagate(guidance_CHW, value_RHW, inside_RHW=None, *, backend="auto", detach=True, **settings):
    """Every field over the windows of one image."""
    settings = {"kernel_size": 3, "zeta": 0.3, "iterations": 4, **settings}
    mask_R1HW = None if inside_RHW is None else inside_RHW[:, None]
    image_R = torch.zeros(len(value_RHW), dtype=torch.int64)
    local = LocalPropagation(**settings, detach=detach)
    return local(value_RHW[:, None], guidance_CHW[None], mask_R1HW, image_R=image_R, backend=backend)[:, 0]
