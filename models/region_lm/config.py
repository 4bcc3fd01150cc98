"""Every number of a region-level multimodal language model: what it sees, how it compresses, what it says.

A published system is one value of ``ModelSettings`` (the files in ``configs/region_lm``), never a class of
its own. The language model stands apart: a trained one brings its own configuration.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.region_lm.tokens import IMAGE, MASK, POSITION

ProjectorKind = Literal[
    "token_packer", "mlp", "linear", "average_pool", "pixel_shuffle", "resampler", "c_abstractor", "ldp"
]
CONVNEXT_STRIDES = (4, 8, 16, 32)
"""Of the stages res2 to res5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How an image of any size becomes the canvases that the network sees."""

    kind: Literal["stretch", "pad_square", "tiles"]
    """Stretched to a square; padded to one around its centre; or cut into tiles with an overview."""
    most_tiles: int | None = None
    """Of ``tiles``: at most so many, the overview not counted."""
    max_strip: int | None = None
    """Of ``tiles``: longest grid of one row or column; None: as long as ``most_tiles`` allows."""
    overlap_prescale: float = 1.4
    """Of ``tiles``: the image is enlarged so much before its overlap with a grid is taken; 1.0 as printed."""

    def __post_init__(self) -> None:
        """Refuse tiles without a limit, and limits without tiles.

        Raises:
            ValueError: With the values.
        """
        tiled = self.kind == "tiles"
        if tiled != (self.most_tiles is not None):
            raise ValueError(f"most_tiles belongs to tiles, got {self.most_tiles} for {self.kind!r}.")
        if tiled and (self.most_tiles or 0) < 1:
            raise ValueError(f"most_tiles must be at least 1, got {self.most_tiles}.")
        if self.max_strip is not None and (not tiled or self.max_strip < 1):
            raise ValueError(f"max_strip must be at least 1 and of tiles, got {self.max_strip}.")
        if not self.overlap_prescale > 0.0:
            raise ValueError(f"overlap_prescale must be positive, got {self.overlap_prescale}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSettings:
    """Shape of a CLIP vision transformer and which of its layers are read."""

    image: int
    """Side of a canvas, in pixels; a multiple of ``patch``."""
    patch: int
    """Side of a patch, in pixels."""
    hidden: int
    """Channels."""
    ffn: int
    """Channels between the two halves of a block's network."""
    layers: int
    heads: int
    levels: tuple[int, ...]
    """Hidden states that are levels; 0 is before the first block."""
    select: int
    """Hidden state that gives the tokens; negative counts from the end."""

    def __post_init__(self) -> None:
        """Refuse layers that are not there.

        Raises:
            ValueError: With the values.
        """
        _positive(self, ("image", "patch", "hidden", "ffn", "layers", "heads"))
        if self.image % self.patch:
            raise ValueError(f"image must be a multiple of patch {self.patch}, got {self.image}.")
        if self.hidden % self.heads:
            raise ValueError(f"hidden must be a multiple of heads {self.heads}, got {self.hidden}.")
        for name, layer in [*(("levels", level) for level in self.levels), ("select", self.select)]:
            if not -self.layers - 1 <= layer <= self.layers:
                raise ValueError(f"{name} must name hidden states of {self.layers} layers, got {layer}.")
        if not self.levels:
            raise ValueError("levels must name at least one hidden state.")

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.image // self.patch


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvNextSettings:
    """Shape of a ConvNeXt and which of its stages gives the tokens; all four are levels."""

    image: int
    """Side of a canvas, in pixels; a multiple of 32."""
    dims: tuple[int, int, int, int]
    """Channels of res2 to res5."""
    depths: tuple[int, int, int, int]
    """Blocks of res2 to res5."""
    token_level: int
    """0 to 3: res2 to res5."""
    layer_scale: float = 1e-6
    """What each block's output is multiplied by at first; a small network taught from nothing needs 1."""

    def __post_init__(self) -> None:
        """Refuse stages that are not there.

        Raises:
            ValueError: With the values.
        """
        if self.image < 32 or self.image % 32:
            raise ValueError(f"image must be a multiple of 32, got {self.image}.")
        if not 0 <= self.token_level <= 3:
            raise ValueError(f"token_level must be 0 to 3, got {self.token_level}.")
        if not self.layer_scale > 0.0:
            raise ValueError(f"layer_scale must be positive, got {self.layer_scale}.")
        if min(*self.dims, *self.depths) < 1:
            raise ValueError(f"dims and depths must be positive, got {self.dims} and {self.depths}.")

    @property
    def grid(self) -> int:
        """Cells along a side of the stage that gives the tokens."""
        return self.image // CONVNEXT_STRIDES[self.token_level]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionSettings:
    """One encoder, or both: then tokens are joined on channels and levels are ConvNeXt's."""

    clip: ClipSettings | None = None
    convnext: ConvNextSettings | None = None

    def __post_init__(self) -> None:
        """Refuse no encoder, and two whose grids differ.

        Raises:
            ValueError: With the grids.
        """
        if self.clip is None and self.convnext is None:
            raise ValueError("vision needs clip, convnext or both.")
        if self.clip and self.convnext and self.clip.grid != self.convnext.grid:
            raise ValueError(
                f"clip and convnext must have one grid, got {self.clip.grid} and {self.convnext.grid}."
            )

    @property
    def sides(self) -> dict[str, int]:
        """Side of a canvas, in pixels, per encoder."""
        parts = {"clip": self.clip, "convnext": self.convnext}
        return {name: part.image for name, part in parts.items() if part is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorSettings:
    """What turns the tokens of a canvas into vectors of the language model."""

    kind: ProjectorKind
    scale: int = 1
    """Cells along a side that become one token; the kinds that do not compress need 1."""
    heads: int | None = None
    """Of attention: ``token_packer`` and ``resampler``."""
    level_mode: Literal["channel", "token"] = "channel"
    """Of ``token_packer``: levels side by side on channels, or as keys of their own."""
    residual: bool = False
    """Of ``token_packer``: whether the coarse query is added to what it gathers."""

    def __post_init__(self) -> None:
        """Refuse numbers that the kind does not use.

        Raises:
            ValueError: With the values.
        """
        _positive(self, ("scale",))
        attends = self.kind in {"token_packer", "resampler"}
        if attends != (self.heads is not None):
            raise ValueError(
                f"heads belongs to token_packer and resampler, got {self.heads} for {self.kind!r}."
            )
        if self.kind in {"mlp", "linear"} and self.scale != 1:
            raise ValueError(f"{self.kind} does not compress: scale must be 1, got {self.scale}.")
        if self.kind != "token_packer" and (self.level_mode != "channel" or self.residual):
            raise ValueError(f"level_mode and residual belong to token_packer, not to {self.kind!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSettings:
    """What turns the mask of a region into vectors of the language model."""

    hidden: int
    """Channels in which the levels are summed."""
    position_side: int | None
    """Side of the mask's raster for the position token, in cells; None: there is no such token."""
    mode: Literal["binary", "soft", "legacy"] = "binary"
    """Of pooling: by coverage above zero, by coverage, or as released."""
    most: int = 100
    """An image may have at most so many regions."""

    def __post_init__(self) -> None:
        """Refuse sizes below 1.

        Raises:
            ValueError: With the value.
        """
        _positive(self, ("hidden", "most"))
        if self.position_side is not None:
            _positive(self, ("position_side",))

    @property
    def slots(self) -> tuple[str, ...]:
        """Placeholders that stand for one region, in order."""
        return (MASK,) if self.position_side is None else (MASK, POSITION)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSettings:
    """Shape of a language model that is built with random weights; a trained one brings its own."""

    family: Literal["llama", "qwen2", "qwen3"]
    vocabulary: int
    """Tokens before placeholders are added."""
    width: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    max_positions: int
    """Longest sequence, image and regions included."""
    norm_epsilon: float = 1e-5
    rope_theta: float = 10000.0
    tie_embeddings: bool = False
    """Whether the output layer is the input embedding."""
    initializer_range: float = 0.02
    """Standard deviation of fresh weights, embeddings too; 0.02 as published, for a width of thousands.

    A width of tens, taught from nothing, needs about 1 / sqrt(width): a matrix of that scale keeps the size
    of what it reads, one of 0.02 makes a vector of 64 six times smaller. At width 64, 0.44 of the captions
    were exact after 750 steps with 0.02 (learning rate 0.006), and 0.99 with 1 / sqrt(width) (0.003).
    """

    def __post_init__(self) -> None:
        """Refuse heads that cannot be shared out, and weights of no scale.

        Raises:
            ValueError: With the values.
        """
        names = ("vocabulary", "width", "ffn", "layers", "heads", "kv_heads", "max_positions")
        _positive(self, names)
        if self.width % self.heads or self.heads % self.kv_heads:
            raise ValueError(
                f"heads must divide width and be a multiple of kv_heads, "
                f"got {self.heads}, {self.width} and {self.kv_heads}."
            )
        if not 0.0 < self.initializer_range < math.inf:
            raise ValueError(f"initializer_range must be positive and finite, got {self.initializer_range}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Everything around the language model; stored in ``config.json``."""

    images: ImageSettings
    vision: VisionSettings
    projector: ProjectorSettings
    regions: RegionSettings | None
    template: Literal["vicuna", "chatml"]

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together.

        Raises:
            ValueError: With the values.
        """
        if self.images.kind == "tiles" and len(self.vision.sides) > 1:
            raise ValueError("tiles are of one encoder, got clip and convnext.")
        grid = (self.vision.clip or self.vision.convnext or self.vision).grid  # type: ignore[union-attr]
        if grid % self.projector.scale:
            raise ValueError(f"scale must divide the grid of {grid}, got {self.projector.scale}.")
        clip = self.vision.clip
        if self.projector.kind == "token_packer" and clip is not None and self.vision.convnext is None:
            states = clip.layers + 1
            if clip.select % states != clip.levels[-1] % states:
                raise ValueError(
                    f"select must name the last of levels, from which token_packer takes its queries: "
                    f"got {clip.select} ({clip.select % states} of {clip.layers}) and {list(clip.levels)}."
                )

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the tokens that are added to the vocabulary."""
        return (IMAGE, *(self.regions.slots if self.regions else ()))


def _positive(settings: object, names: Sequence[str]) -> None:
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(settings, name)}.")
