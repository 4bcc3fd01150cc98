"""The mask must agree with what affinity propagation makes of it.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, box-supervised losses.
Differences: propagation runs in the window of each region instead of the whole image, so a window counts as
an image with one region; the known zero outside the box is set before the global branch, too; and the labels
are stretched. The zero outside the box drains every region a little in each step, so that the prediction
shrinks to the few samples which the projection loss holds; a region has samples that surely belong to it, so
the label of its upper third is set back to one.

Shape suffixes:
    R = regions   C = channels   S = samples of a window
"""

import torch
from torch import Tensor

from models.affinity.cascade import AffinityCascade

SURE = 0.7
"""Quantile of a label inside its box that counts as one."""


def affinity_losses(
    cascade: AffinityCascade, guidance_RCSS: Tensor, probability_RSS: Tensor, inside_RSS: Tensor
) -> tuple[Tensor, Tensor]:
    """Measure the mean distance between mask and pseudo labels inside the box.

    Args:
        cascade: The propagations.
        guidance_RCSS: Colours of each window, in [0, 1].
        probability_RSS: Mask probabilities; gradients reach only these.
        inside_RSS: Share of each sample that lies in the box.

    Returns:
        Global and local loss, scalars in [0, 1]: the mean over regions of the mean over the box.
    """
    known_RSS = probability_RSS.detach() * inside_RSS
    labels = [
        stretch_labels(label_R1SS[:, 0], inside_RSS)
        for label_R1SS in cascade(known_RSS[:, None], guidance_RCSS, inside_RSS[:, None])
    ]
    area_R = inside_RSS.sum(dim=(1, 2)).clamp(min=1.0)
    far, near = (
        (((label_RSS - probability_RSS).abs() * inside_RSS).sum(dim=(1, 2)) / area_R).sum()
        / max(1, len(probability_RSS))
        for label_RSS in labels
    )
    return far, near


def stretch_labels(label_RSS: Tensor, inside_RSS: Tensor) -> Tensor:
    """Scale each label so that its quantile ``SURE`` inside the box is one; larger values become one."""
    flat_RN = torch.where(inside_RSS > 0.5, label_RSS, torch.nan).flatten(1)
    if len(flat_RN) == 0:
        return label_RSS
    top_R = flat_RN.nanquantile(SURE, dim=1).nan_to_num(1.0).clamp(min=1e-3)
    return (label_RSS / top_R[:, None, None]).clamp(max=1.0)
