"""Local propagation: every pixel averages its neighbours of similar colour, several times over.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, local affinity.
Differences: neighbours outside the image are left out of the sums (the release shifts the image by ten so
that padding looks different, and adds 1e-10 to the sum of affinities); the affinity is computed once per
image (the release: once per region); gradients can be had (the release has none).

Shape suffixes:
    B = images   R = regions   C = channels (a mask may have one for all)   H = height   W = width
    K = places of the window, row-major   P = R * C fields
"""

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
import torch
from torch import Tensor

from models.affinity import backends
from models.affinity.backends import Backend
from models.affinity.fast import window_shifts
from models.affinity.grid import check_guidance, check_size

_LARGEST_DENSE = 4096
"""Pixels of an image up to which a whole matrix of affinities is built: 128 MiB in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPropagation:
    """Propagation inside a small window that follows colour."""

    kernel_size: int
    """Side of the window, in pixels. Odd."""
    zeta: float | Tensor
    """Colour distance, in the unit of the guidance, at which the affinity has dropped to 1/e. Positive; a
    tensor without dimensions may carry a gradient."""
    iterations: int
    """Number of sweeps, at least 0."""
    detach: bool = True
    """Whether the result carries no gradient, as in the release."""

    def __post_init__(self) -> None:
        """Refuse windows without a centre and bandwidths that divide by zero."""
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {self.kernel_size}.")
        if isinstance(self.zeta, Tensor) and self.zeta.ndim != 0:
            raise ValueError(
                f"zeta must be a number or a tensor without dimensions, got shape {tuple(self.zeta.shape)}."
            )
        if not self.zeta > 0.0:
            raise ValueError(f"zeta must be positive, got {_number(self.zeta)}.")
        if self.iterations < 0:
            raise ValueError(f"iterations must not be negative, got {self.iterations}.")

    def affinity(self, guidance_BCHW: Tensor) -> Tensor:
        """Weigh each pixel's neighbours by colour similarity; ``__call__`` never builds this.

        Args:
            guidance_BCHW: Image with values in [0, 1], or any real field.

        Returns:
            Weights, float64, shape (B, H, W, K). They sum to one over K; neighbours outside the image weigh
            zero.

        Raises:
            ValueError: If the guidance is not four-dimensional, has no channel or pixel, or is not finite.
        """
        check_guidance(guidance_BCHW)
        guidance = guidance_BCHW.detach().double()
        return window_shifts.window_affinity(
            guidance, self.kernel_size // 2, _factor(_number(self.zeta), guidance)
        )

    def __call__(
        self,
        x_RCHW: Tensor,
        guidance_BCHW: Tensor,
        mask_RCHW: Tensor | None = None,
        *,
        image_R: Tensor | None = None,
        backend: Backend | Literal["auto"] = "auto",
    ) -> Tensor:
        """Sweep each field; it is zero outside its mask before and after each sweep.

        Neighbours outside the image are left out of the average; neighbours outside the mask count as zero.

        Args:
            x_RCHW: Fields, any float type. Not read where the mask is zero.
            guidance_BCHW: Images with values in [0, 1], or any real field. The regions of an image share its
                affinity.
            mask_RCHW: Share of each pixel that lies in the region, in [0, 1], any type, of shape (R, 1 or C,
                H, W). Multiplies before and after each sweep. None: ones.
            image_R: Which image each region belongs to, integers in [0, B). None: region r belongs to
                image r.
            backend: What computes. "auto" takes "torch" where a gradient is wanted.

        Returns:
            Propagated fields, shape and type of ``x_RCHW``; detached if ``detach``. Sums are made in float64
            where the fields or the guidance are float64, else in float32.

        Raises:
            TypeError: If the fields are not of a float type.
            ValueError: If sizes or devices differ, a region has no image, the guidance is not finite, or the
                backend cannot run here or has no gradient.
        """
        image_R = _check(x_RCHW, guidance_BCHW, mask_RCHW, image_R)
        if x_RCHW.numel() == 0:
            return x_RCHW.detach().clone() if self.detach else x_RCHW.clone()
        kind = self._backend(backend, (x_RCHW, guidance_BCHW, mask_RCHW, self.zeta))
        double = torch.float64 in (x_RCHW.dtype, guidance_BCHW.dtype) or kind == "reference"
        dtype = torch.float64 if double else torch.float32
        mask = x_RCHW.new_ones(1, 1, *x_RCHW.shape[2:]) if mask_RCHW is None else mask_RCHW
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            x = x_RCHW if mask_RCHW is None or kind == "cpu" else torch.where(mask != 0, x_RCHW, 0)
            fields = x.to(dtype), guidance_BCHW.to(dtype), mask.to(dtype)
            out_RCHW = self._sweep(kind, *fields, image_R).to(x_RCHW.dtype)
        return out_RCHW.detach() if self.detach else out_RCHW

    def _backend(
        self, requested: Backend | Literal["auto"], inputs: tuple[Tensor | float | None, ...]
    ) -> Backend:
        """Settle what computes; where a gradient is wanted, something that has one."""
        device = next(tensor.device for tensor in inputs if isinstance(tensor, Tensor))
        graph = any(isinstance(tensor, Tensor) and tensor.requires_grad for tensor in inputs)
        if self.detach or not (graph and torch.is_grad_enabled()):
            return backends.choose(requested, device)
        if requested in ("cpu", "triton"):
            raise ValueError(
                f"backend {requested!r} has no gradient: pass backend='auto', or construct with detach=True."
            )
        return backends.choose("torch" if requested == "auto" else requested, device)

    def _sweep(
        self, kind: Backend, x_RCHW: Tensor, guidance_BCHW: Tensor, mask_RCHW: Tensor, image_R: Tensor
    ) -> Tensor:
        """Hand the work to one backend; all tensors are of the type that sums are made in."""
        reach = self.kernel_size // 2
        factor = _factor(self.zeta, guidance_BCHW)
        match kind:
            case "reference":
                pixels = x_RCHW.shape[2] * x_RCHW.shape[3]
                if pixels > _LARGEST_DENSE:
                    raise ValueError(
                        f"backend 'reference' takes images of at most {_LARGEST_DENSE} pixels, got {pixels}: "
                        "it holds a matrix of all pairs. Pass backend='auto'."
                    )
                return window_shifts.dense_propagate(
                    x_RCHW, guidance_BCHW, mask_RCHW, image_R, reach, factor, self.iterations
                )
            case "cpu":
                return _sweep_boxes(
                    x_RCHW, guidance_BCHW, mask_RCHW, image_R, reach, _number(factor), self.iterations
                )
            case "torch":
                return window_shifts.propagate(
                    x_RCHW, guidance_BCHW, mask_RCHW, image_R, reach, factor, self.iterations
                )
            case "triton":
                from models.affinity.fast import triton_local  # needs Triton, which not every platform has

                mask_RCHW = mask_RCHW.expand(len(x_RCHW), -1, -1, -1)
                return triton_local.local_sweeps(
                    x_RCHW, guidance_BCHW, mask_RCHW, image_R, reach, _number(self.zeta), self.iterations
                )
            case _:
                assert_never(kind)


def _sweep_boxes(
    x_RCHW: Tensor,
    guidance_BCHW: Tensor,
    mask_RCHW: Tensor,
    image_R: Tensor,
    reach: int,
    factor: float,
    iterations: int,
) -> Tensor:
    """Run the compiled loops over every field."""
    from models.affinity.fast import box_sweeps  # needs numba, which not every platform has

    regions, channels = x_RCHW.shape[:2]
    mask_R1 = np.arange(len(mask_RCHW))[:, None] * mask_RCHW.shape[1]
    mask_RC = np.broadcast_to(mask_R1 + np.arange(mask_RCHW.shape[1]), (regions, channels))
    value_PHW, inside_MHW = (
        field.detach().flatten(0, 1).contiguous().numpy() for field in (x_RCHW, mask_RCHW)
    )
    out_PHW = box_sweeps.propagate(
        value_PHW,
        guidance_BCHW.detach().contiguous().numpy(),
        inside_MHW,
        mask_RC.reshape(-1),
        image_R.repeat_interleave(channels).numpy(),
        reach,
        factor,
        iterations,
    )
    return torch.from_numpy(out_PHW).reshape(x_RCHW.shape)


def _factor(zeta: float | Tensor, guidance_BCHW: Tensor) -> float | Tensor:
    """Return one over zeta squared, inside the range of normal numbers: equal colours keep affinity 1."""
    limits = torch.finfo(guidance_BCHW.dtype)
    if isinstance(zeta, Tensor):
        return zeta.to(guidance_BCHW).pow(-2).clamp(limits.tiny, limits.max)
    return min(max(1.0 / zeta * (1.0 / zeta), limits.tiny), limits.max)


def _number(value: float | Tensor) -> float:
    """Return a number without its graph."""
    return float(value.item()) if isinstance(value, Tensor) else value


def _check(x_RCHW: Tensor, guidance_BCHW: Tensor, mask_RCHW: Tensor | None, image_R: Tensor | None) -> Tensor:
    """Refuse what has no meaning; return the image of each region on the device of the fields."""
    if x_RCHW.ndim != 4:
        raise ValueError(f"x_RCHW must have four dimensions, got {tuple(x_RCHW.shape)}.")
    if not x_RCHW.dtype.is_floating_point:
        raise TypeError(f"x_RCHW must be of a float type, got {x_RCHW.dtype}.")
    for name, tensor in (("guidance_BCHW", guidance_BCHW), ("mask_RCHW", mask_RCHW)):
        if tensor is not None and tensor.device != x_RCHW.device:
            raise ValueError(f"{name} must be on {x_RCHW.device} like x_RCHW, got {tensor.device}.")
    check_size(guidance_BCHW)
    if not _surely_finite(guidance_BCHW):
        check_guidance(guidance_BCHW)
    regions, channels, *size = x_RCHW.shape
    if list(guidance_BCHW.shape[2:]) != size:
        raise ValueError(
            f"guidance_BCHW must have height and width {tuple(size)} like x_RCHW, "
            f"got {tuple(guidance_BCHW.shape[2:])}."
        )
    if mask_RCHW is not None and tuple(mask_RCHW.shape) not in ((regions, c, *size) for c in (1, channels)):
        raise ValueError(
            f"mask_RCHW must have shape ({regions}, 1 or {channels}, {size[0]}, {size[1]}), "
            f"got {tuple(mask_RCHW.shape)}."
        )
    return _images(image_R, regions, len(guidance_BCHW)).to(x_RCHW.device)


def _surely_finite(guidance_BCHW: Tensor) -> bool:
    """Say whether the sum is finite: then every value is.

    PyTorch would count with threads that stay awake for a while and keep the cores from the compiled loops.
    """
    if guidance_BCHW.device.type != "cpu" or guidance_BCHW.dtype not in (torch.float32, torch.float64):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(guidance_BCHW.detach().numpy().sum()))


def _images(image_R: Tensor | None, regions: int, images: int) -> Tensor:
    """Check the image of each region; without any, regions and images go together in order."""
    if image_R is None:
        if regions != images:
            raise ValueError(f"image_R must name the image of {regions} regions: there are {images} images.")
        return torch.arange(regions)
    if image_R.dtype.is_floating_point or image_R.dtype.is_complex or image_R.dtype == torch.bool:
        raise TypeError(f"image_R must hold integers, got {image_R.dtype}.")
    if image_R.shape != (regions,):
        raise ValueError(f"image_R must have shape ({regions},), got {tuple(image_R.shape)}.")
    outside_R = (image_R < 0) | (image_R >= images)
    if outside_R.any():
        region = int(outside_R.int().argmax())
        raise ValueError(f"image_R[{region}] must lie in [0, {images}), got {int(image_R[region])}.")
    return image_R.long()
