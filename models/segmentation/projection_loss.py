"""The mask's shadow on each axis must be the box's side.

Paper: Tian et al., "BoxInst", https://arxiv.org/abs/2012.02310, projection term.
Differences: the box's shadow is soft where its border cuts a sample.

Shape suffixes:
    R = regions   S = samples of a window
"""

import torch
from torch import Tensor


def projection_loss(probability_RSS: Tensor, column_RS: Tensor, row_RS: Tensor) -> Tensor:
    """Compare the largest value of every column and row with the box.

    Args:
        probability_RSS: Mask probabilities.
        column_RS: Share of each column that lies in the box.
        row_RS: Share of each row that lies in the box.

    Returns:
        Mean over regions of the two dice distances, a scalar in [0, 2]; 0 when there is no region.
    """
    by_column_R = dice_distance(probability_RSS.amax(dim=1), column_RS)
    by_row_R = dice_distance(probability_RSS.amax(dim=2), row_RS)
    return (by_column_R + by_row_R).sum() / max(1, len(probability_RSS))


def dice_distance(first_RS: Tensor, second_RS: Tensor) -> Tensor:
    """Return one minus the dice overlap of soft sets, with squares in the denominator; shape (R,)."""
    overlap_R = (first_RS * second_RS).sum(dim=1)
    total_R = first_RS.square().sum(dim=1) + second_RS.square().sum(dim=1)
    return 1.0 - 2.0 * overlap_R / (total_R + torch.tensor(1e-5))
