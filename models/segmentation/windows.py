"""A region's window: its box with a margin, sampled on a square of fixed size.

Differences from CondInst, which predicts each mask on the whole image: a window costs the same for a region
of 5 pixels and one of 500, and resolves both equally well.

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   S = samples along a side
"""

import torch
from torch import Tensor
from torchvision.ops import roi_align


def region_windows(boxes_R4: Tensor, margin: float) -> Tensor:
    """Enlarge boxes about their centres.

    Args:
        boxes_R4: Corners ``(left, top, right, bottom)`` in pixels.
        margin: Fraction of the side that is added on each side.

    Returns:
        Corners of the windows, shape (R, 4); they may leave the image.
    """
    reach_R2 = (boxes_R4[:, 2:] - boxes_R4[:, :2]) * margin
    return torch.cat((boxes_R4[:, :2] - reach_R2, boxes_R4[:, 2:] + reach_R2), dim=1)


def sample_windows(
    field_BCHW: Tensor, image_R: Tensor, windows_R4: Tensor, *, size: int, stride: float, samples: int = 1
) -> Tensor:
    """Read a field at the samples of each window, bilinearly.

    Args:
        field_BCHW: Feature map or image, float32.
        image_R: Which image each window belongs to.
        windows_R4: Corners in pixels of the network's input.
        size: Samples along a side.
        stride: Pixels of the input per cell of the field.
        samples: Readings averaged along each side of a sample; more than one smooths large windows.

    Returns:
        Shape (R, C, size, size); zero outside the image.
    """
    rois_R5 = torch.cat((image_R[:, None].to(windows_R4), windows_R4), dim=1)
    sampled_RCSS: Tensor = roi_align(
        field_BCHW, rois_R5, size, spatial_scale=1.0 / stride, sampling_ratio=samples, aligned=True
    )
    return sampled_RCSS


def window_positions(size: int, margin: float) -> Tensor:
    """Place each sample relative to the box: -1 and 1 are its borders.

    Returns:
        Horizontal and vertical position, shape (2, size, size).
    """
    reach = 1.0 + 2.0 * margin
    position_S = ((torch.arange(size) + 0.5) / size * 2.0 - 1.0) * reach
    return torch.stack((position_S.expand(size, size), position_S[:, None].expand(size, size)))


def box_coverage(boxes_R4: Tensor, windows_R4: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Measure which share of each column and of each row of a window lies in the box.

    Args:
        boxes_R4: Corners in pixels.
        windows_R4: Corners in pixels.
        size: Samples along a side.

    Returns:
        Shares by column and by row, each of shape (R, size), in [0, 1].
    """
    profiles = []
    for axis in (0, 1):
        start_R1, stop_R1 = windows_R4[:, axis, None], windows_R4[:, axis + 2, None]
        step_R1 = (stop_R1 - start_R1) / size
        edge_RS = start_R1 + torch.arange(size).to(boxes_R4) * step_R1
        low_RS = torch.maximum(edge_RS, boxes_R4[:, axis, None])
        high_RS = torch.minimum(edge_RS + step_R1, boxes_R4[:, axis + 2, None])
        profiles.append(((high_RS - low_RS) / step_R1).clamp(0.0, 1.0))
    return profiles[0], profiles[1]


def stretch_windows(guidance_RCSS: Tensor, inside_RSS: Tensor) -> Tensor:
    """Stretch the colours of each window to [0, 1]: a dim region has edges as clear as a bright one.

    Args:
        guidance_RCSS: Colours.
        inside_RSS: Share of each sample that lies in the image; samples outside do not count.

    Returns:
        Shape and type of ``guidance_RCSS``; zero outside the image.
    """
    valid_R1SS = inside_RSS[:, None] > 0.5
    low = guidance_RCSS.masked_fill(~valid_R1SS, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
    high = guidance_RCSS.masked_fill(~valid_R1SS, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
    span = (high - low).clamp(min=1e-3)
    return ((guidance_RCSS - low) / span).clamp(0.0, 1.0) * valid_R1SS
