"""Which query answers for which box, when masks are predicted but only boxes are known.

Paper: Li et al., "Box2Mask: Box-supervised Instance Segmentation via Level-set Evolution",
https://arxiv.org/abs/2212.01579, box-projection matching for Mask2Former.
Differences: none in the cost; it is computed without a gradient.

Shape suffixes:
    Q = queries   K = categories   G = boxes of the image   S = columns or rows   M = min(Q, G) matches
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

CLASS_COST = 2.0
PROJECTION_COST = 5.0


@torch.no_grad()
def match_to_boxes(
    class_logit_QK1: Tensor, mask_logit_QHW: Tensor, inside_GHW: Tensor, category_G: Tensor
) -> tuple[Tensor, Tensor]:
    """Assign boxes to queries at the least total cost.

    Args:
        class_logit_QK1: Logits of the categories and, last, of "nothing".
        mask_logit_QHW: Mask logits.
        inside_GHW: Share of each sample that lies in the box.
        category_G: Category of each box, int64.

    Returns:
        Query and box of each match, int64, shape (M,), by rising query.

    Raises:
        ValueError: If a logit is not finite: no assignment would mean anything.
    """
    probability_QK = class_logit_QK1.float().softmax(dim=1)
    mask_QHW = mask_logit_QHW.float().sigmoid()
    cost_QG = -CLASS_COST * probability_QK[:, category_G]
    for axis in (1, 2):
        cost_QG = cost_QG + PROJECTION_COST * _distance(mask_QHW.amax(dim=axis), inside_GHW.amax(dim=axis))
    if not torch.isfinite(cost_QG).all():
        raise ValueError("the cost of matching is not finite: a class or mask logit is NaN or infinite.")
    query, box = linear_sum_assignment(cost_QG.cpu().numpy())
    device = class_logit_QK1.device
    return torch.as_tensor(query, device=device), torch.as_tensor(box, device=device)


def _distance(first_QS: Tensor, second_GS: Tensor) -> Tensor:
    """Return one minus the dice overlap of all pairs, smoothed by 1 above and below, shape (Q, G)."""
    overlap_QG = first_QS @ second_GS.T
    total_QG = first_QS.square().sum(dim=1)[:, None] + second_GS.square().sum(dim=1)[None]
    return 1.0 - (2.0 * overlap_QG + 1.0) / (total_QG + 1.0)
