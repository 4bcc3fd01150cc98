"""Names of weights: of our segmenters, of torchvision's ResNets, of detectron2 and of its model zoo.

Tables only: nothing of detectron2 is imported and no file is opened. The zoo has two dialects: that of
detectron2 (``res2.0.conv1.norm.weight``) and the older one of Caffe2 (``res2_0_branch2a_bn_s``), whose norms
are a scale and a shift without statistics.
Differences between the networks that names do not show: the ResNets of the zoo that come from Caffe2 have
their stride in the first convolution of a block (``STRIDE_IN_1X1``), torchvision's in the second.

Shape suffixes:
    B = images   C = channels   H = height   W = width
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_STATISTICS = "(weight|bias|running_mean|running_var|num_batches_tracked)"
_TO_DETECTRON2 = (
    (r"conv1\.weight", r"stem.conv1.weight"),
    (rf"bn1\.{_STATISTICS}", r"stem.conv1.norm.\1"),
    (r"layer([1-4])\.(\d+)\.conv([123])\.weight", r"res{0}.\2.conv\3.weight"),
    (rf"layer([1-4])\.(\d+)\.bn([123])\.{_STATISTICS}", r"res{0}.\2.conv\3.norm.\4"),
    (r"layer([1-4])\.(\d+)\.downsample\.0\.weight", r"res{0}.\2.shortcut.weight"),
    (rf"layer([1-4])\.(\d+)\.downsample\.1\.{_STATISTICS}", r"res{0}.\2.shortcut.norm.\3"),
    (r"fc\.(weight|bias)", r"linear.\1"),
)
_TO_TORCHVISION = (
    (r"stem\.conv1\.weight", r"conv1.weight"),
    (rf"stem\.conv1\.norm\.{_STATISTICS}", r"bn1.\1"),
    (r"res([2-5])\.(\d+)\.conv([123])\.weight", r"layer{0}.\2.conv\3.weight"),
    (rf"res([2-5])\.(\d+)\.conv([123])\.norm\.{_STATISTICS}", r"layer{0}.\2.bn\3.\4"),
    (r"res([2-5])\.(\d+)\.shortcut\.weight", r"layer{0}.\2.downsample.0.weight"),
    (rf"res([2-5])\.(\d+)\.shortcut\.norm\.{_STATISTICS}", r"layer{0}.\2.downsample.1.\3"),
    (r"linear\.(weight|bias)", r"fc.\1"),
)
_BRANCHES = {"branch1": "shortcut", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
_AFFINE = {"s": "weight", "b": "bias", "gamma": "weight", "beta": "bias"} | {
    "rm": "running_mean", "riv": "running_var",
}  # fmt: skip
_COARSEST = 5
"""The level of the pyramid that the last stage of a ResNet feeds; its stride is 2 to this power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """Weights under their new names, and what has none."""

    weights: dict[str, Tensor]
    """By new name; the tensors are those that were given."""
    unmatched: tuple[str, ...]
    """Old names that mean nothing on the other side, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """What a backbone of detectron2 was shown: ``(value - mean) / std`` of values in [0, 255]."""

    mean: tuple[float, float, float]
    """``MODEL.PIXEL_MEAN``, in the order of the channels."""
    std: tuple[float, float, float]
    """``MODEL.PIXEL_STD``, in the order of the channels."""
    order: Literal["RGB", "BGR"]
    """``INPUT.FORMAT``."""

    def __post_init__(self) -> None:
        """Refuse what cannot be divided by.

        Raises:
            ValueError: With the values.
        """
        if self.order not in ("RGB", "BGR"):
            raise ValueError(f"order must be 'RGB' or 'BGR', got {self.order!r}.")
        if len(self.mean) != 3 or len(self.std) != 3 or not min(self.std) > 0.0:
            raise ValueError(f"mean and std must be 3 values, std above 0, got {self.mean} and {self.std}.")


OURS = Pixels(mean=(127.5,) * 3, std=(63.75,) * 3, order="RGB")
"""What our backbones are shown: ``(value / 255 - 0.5) * 4``."""


def to_colours(seen_BCHW: Tensor, pixels: Pixels) -> Tensor:
    """Return the RGB colours in [0, 1] of what a backbone of detectron2 sees, shape (B, 3, H, W)."""
    mean, std = (seen_BCHW.new_tensor(values)[:, None, None] for values in (pixels.mean, pixels.std))
    image_BCHW = ((seen_BCHW * std + mean) / 255.0).clamp(0.0, 1.0)
    return image_BCHW.flip(1) if pixels.order == "BGR" else image_BCHW


def resnet_to_detectron2(name: str) -> str | None:
    """Translate a name of torchvision's ResNet; None if it is none."""
    return _translate(name, _TO_DETECTRON2, shift=1)


def resnet_to_torchvision(name: str) -> str | None:
    """Translate a name of detectron2's ResNet, in either dialect; None if it is none."""
    return _translate(_modern(name), _TO_TORCHVISION, shift=-1)


def segmenter_to_detectron2(weights: Mapping[str, Tensor]) -> Renamed:
    """Name the weights of an ``InstanceSegmenter`` as ``GroundworkBoxSegmenter`` does.

    Args:
        weights: Its state.

    Raises:
        ValueError: If two weights get one name.
    """
    finest = _finest(weights, r"segmenter\.pyramid\.pyramid\.inner_blocks\.(\d+)\.")

    def rename(name: str) -> str | None:
        inner, place = re.subn(r"^segmenter\.pyramid\.body\.", "", name)
        if place:
            found = resnet_to_detectron2(inner)
            return None if found is None else f"backbone.bottom_up.{found}"
        for kind, other in (("inner", "lateral"), ("layer", "output")):
            level = re.fullmatch(
                rf"segmenter\.pyramid\.pyramid\.{kind}_blocks\.(\d+)\.0\.(weight|bias)", name
            )
            if level:
                return f"backbone.fpn_{other}{int(level[1]) + finest}.{level[2]}"
        return _first(
            name,
            (r"segmenter\.pyramid\.pyramid\.extra_blocks\.(p[67]\..+)", r"backbone.top_block.\1"),
            (r"segmenter\.head\.(.+)", r"head.\1"),
            (r"segmenter\.network\.(.+)", r"head.network.\1"),
        )

    return _renamed(weights, rename)


def segmenter_from_detectron2(weights: Mapping[str, Tensor]) -> Renamed:
    """Name the weights of a ``GroundworkBoxSegmenter`` as ``InstanceSegmenter`` does.

    Args:
        weights: Its state, as a checkpoint has it under ``model``.

    Raises:
        ValueError: If two weights get one name.
    """
    finest = _finest(weights, r"backbone\.fpn_lateral(\d+)\.")

    def rename(name: str) -> str | None:
        inner, place = re.subn(r"^backbone\.bottom_up\.", "", name)
        if place:
            found = resnet_to_torchvision(inner)
            return None if found is None else f"segmenter.pyramid.body.{found}"
        for kind, other in (("lateral", "inner"), ("output", "layer")):
            level = re.fullmatch(rf"backbone\.fpn_{kind}(\d+)\.(weight|bias)", name)
            if level:
                place = int(level[1]) - finest
                return f"segmenter.pyramid.pyramid.{other}_blocks.{place}.0.{level[2]}"
        return _first(
            name,
            (r"backbone\.top_block\.(p[67]\..+)", r"segmenter.pyramid.pyramid.extra_blocks.\1"),
            (r"head\.network\.(.+)", r"segmenter.network.\1"),
            (r"head\.(.+)", r"segmenter.head.\1"),
        )

    return _renamed(weights, rename)


def zoo_backbone(weights: Mapping[str, Tensor], pixels: Pixels) -> Renamed:
    """Turn a ResNet of detectron2's model zoo into one of torchvision that sees our pixels.

    The first convolution takes over what was done to pixels, its norm the rest: away from the image's border,
    which is padded with grey instead of the mean colour, nothing changes.

    Args:
        weights: By name, in either dialect; tensors.
        pixels: What the backbone was trained with.

    Returns:
        Names of torchvision. Norms without statistics get a mean of 0 and a variance of 1.

    Raises:
        ValueError: If two weights get one name, or the first convolution or its norm is missing.
    """
    renamed = _renamed(weights, resnet_to_torchvision)
    found = dict(renamed.weights)
    for name in [name for name in found if re.search(r"(bn\d|downsample\.1)\.weight$", name)]:
        stem = name.removesuffix("weight")
        found.setdefault(f"{stem}running_mean", torch.zeros_like(found[name]))
        # detectron2's frozen norms add 1e-5 to the variance, as torchvision's do: together they are one.
        found.setdefault(f"{stem}running_var", torch.ones_like(found[name]) - 1e-5)
    for name in ("conv1.weight", "bn1.weight"):
        if name not in found:
            raise ValueError(f"a ResNet needs {name}, got {sorted(weights)[:5]}.")
    kernel = found["conv1.weight"].double()
    mean, std = (torch.tensor(values).double()[None, :, None, None] for values in (pixels.mean, pixels.std))
    shift = (kernel * (OURS.mean[0] - mean) / std).sum(dim=(1, 2, 3))
    scaled = kernel * OURS.std[0] / std
    scaled = scaled.flip(1) if pixels.order == "BGR" else scaled
    found["conv1.weight"] = scaled.to(found["conv1.weight"].dtype)
    average = found["bn1.running_mean"]
    found["bn1.running_mean"] = (average.double() - shift).to(average.dtype)
    return Renamed(weights=found, unmatched=renamed.unmatched)


def _modern(name: str) -> str:
    """Translate the older dialect of detectron2 into the newer; other names stay."""
    if name in ("conv1_w", "fc1000_w", "fc1000_b", "pred_w", "pred_b"):
        kind = "weight" if name.endswith("_w") else "bias"
        return f"stem.conv1.{kind}" if name == "conv1_w" else f"linear.{kind}"
    norm = re.fullmatch(r"res_conv1_bn_(s|b|gamma|beta|rm|riv)", name)
    if norm:
        return f"stem.conv1.norm.{_AFFINE[norm[1]]}"
    block = re.fullmatch(r"res([2-5])_(\d+)_(branch1|branch2[abc])_(w|bn_(s|b|gamma|beta|rm|riv))", name)
    if not block:
        return name
    part = f"norm.{_AFFINE[block[5]]}" if block[5] else "weight"
    return f"res{block[1]}.{block[2]}.{_BRANCHES[block[3]]}.{part}"


def _translate(name: str, table: Iterable[tuple[str, str]], *, shift: int) -> str | None:
    """Apply the row that fits the whole name; ``{0}`` is its first number, moved."""
    for pattern, template in table:
        found = re.fullmatch(pattern, name)
        if found:
            moved = int(found[1]) + shift if "{0}" in template else 0
            return found.expand(template.replace("{0}", str(moved)))
    return None


def _first(name: str, *rows: tuple[str, str]) -> str | None:
    return _translate(name, rows, shift=0)


def _finest(weights: Iterable[str], pattern: str) -> int:
    """Return the finest level of the pyramid, from how many levels the backbone feeds."""
    levels = {found[1] for name in weights if (found := re.match(pattern, name))}
    return _COARSEST + 1 - len(levels)


def _renamed(weights: Mapping[str, Tensor], rename: Callable[[str], str | None]) -> Renamed:
    found: dict[str, Tensor] = {}
    source: dict[str, str] = {}
    unmatched = []
    for name, value in weights.items():
        new = rename(name)
        if new is None:
            unmatched.append(name)
        elif new in found:
            raise ValueError(f"{source[new]} and {name} are both {new}; a state has one of them.")
        else:
            found[new], source[new] = value, name
    return Renamed(weights=found, unmatched=tuple(sorted(unmatched)))
