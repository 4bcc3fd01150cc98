"""TokenPacker: a coarse token asks the fine cells of its own window, at several depths.

Paper: Li et al., "TokenPacker: Efficient Visual Projector for Multimodal LLM",
https://arxiv.org/abs/2407.02392, section 3.2. The encoder's tokens, bilinearly shrunk, are the queries; the
levels, joined on channels, give keys and values; each query attends to the cells of its window alone. As in
the published code the query only weighs: what comes out is made of values. Bilinear without smoothing reads
the mean of a window at scale 2, only its centre cell at scale 3, and the mean of its central four cells at
scale 4. Fresh weights of layers narrower than the published ones are larger (``_initialise``).

Shape suffixes:
    T = canvases   M = windows   S = cells of a window   K = keys of a window   C = channels   E = heads
    d = channels of a head   H, W = cells
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.region_lm.projectors.interface import Grid, Projector, two_layers, windows
from models.vision.features import VisionFeatures, rows_of

LevelMode = Literal["channel", "token"]
_NORM_EPSILON = 1e-6
_DEVIATION, _PUBLISHED_INPUTS = 0.02, 1024
"""Of fresh weights, and the inputs of a layer that it was published for."""


class WindowAttention(nn.Module):
    """Multi-head attention of one query to the keys of its window.

    Parameters carry the names and shapes of ``torch.nn.MultiheadAttention``.

    Args:
        channels: Of queries, keys, values and output.
        heads: Divides ``channels``.

    Raises:
        ValueError: If it does not.
    """

    def __init__(self, *, channels: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"heads must divide {channels} channels, got {heads}.")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query_TMC: Tensor, key_TMKC: Tensor, value_TMKC: Tensor) -> tuple[Tensor, Tensor]:
        """Attend.

        A window has many cells and one query. So the matrix of the keys is applied to the query instead, and
        the matrix of the values to what was gathered: the same sums in another order, without projecting
        every cell. The bias of the keys shifts all scores of a query alike and has no effect.

        Returns:
            What was gathered, (T, M, C), and the weights, (T, M, E, K), which sum to 1 over K.
        """
        query_CC, key_CC, value_CC = self.in_proj_weight.chunk(3)
        query_C, _, value_C = self.in_proj_bias.chunk(3)
        by_head = (self.heads, -1)
        query_TMEd = torch.unflatten(functional.linear(query_TMC, query_CC, query_C), -1, by_head)
        asked_TMEC = torch.einsum("tmed,edc->tmec", query_TMEd, torch.unflatten(key_CC, 0, by_head))
        scores_TMEK = asked_TMEC @ key_TMKC.transpose(2, 3) * query_TMEd.shape[-1] ** -0.5
        weights_TMEK = scores_TMEK.float().softmax(dim=-1).to(value_TMKC.dtype)
        gathered_TMEC = weights_TMEK @ value_TMKC
        gathered = torch.einsum("tmec,edc->tmed", gathered_TMEC, torch.unflatten(value_CC, 0, by_head))
        return self.out_proj(gathered.flatten(2) + value_C), weights_TMEK


class TokenPacker(Projector):
    """One token for each window of ``scale`` x ``scale`` cells.

    Levels of another size than the tokens' grid are brought to it: means of their cells if they are finer,
    repeated if they are coarser. What a window reads stays inside it.

    Args:
        channels: Of a token; also the inner width.
        level_channels: Of each level.
        grid: Rows and columns of tokens.
        scale: Cells along a side of a window.
        width: Of the language model.
        heads: Of the attention; divides ``channels``.
        level_mode: "channel" joins the levels on channels, as published: S keys a window. "token" gives every
            level keys of its own, with common weights, S times the number of levels a window; the levels must
            be equally wide.
        residual: Whether the query is added to what it gathered; not as published.

    Raises:
        ValueError: If windows do not fill the grid, heads do not divide channels, there is no level, or the
            levels' widths do not fit the mode.
    """

    def __init__(
        self,
        *,
        channels: int,
        level_channels: Sequence[int],
        grid: Grid,
        scale: int,
        width: int,
        heads: int = 8,
        level_mode: LevelMode = "channel",
        residual: bool = False,
    ) -> None:
        super().__init__(grid=grid, scale=scale)
        if not level_channels:
            raise ValueError("token_packer needs at least one level, got none.")
        if level_mode not in ("channel", "token"):
            raise ValueError(f"level_mode must be 'channel' or 'token', got {level_mode!r}.")
        if level_mode == "token" and len(set(level_channels)) > 1:
            raise ValueError(f"level_mode 'token' needs levels of one width, got {tuple(level_channels)}.")
        source = sum(level_channels) if level_mode == "channel" else level_channels[0]
        self.level_mode, self.residual = level_mode, residual
        self.query = nn.Sequential(nn.Linear(channels, channels, bias=False), _norm(channels))
        self.key = nn.Sequential(*two_layers(source, channels), _norm(channels))
        self.value = nn.Sequential(*two_layers(source, channels), _norm(channels))
        self.attention = WindowAttention(channels=channels, heads=heads)
        self.output = two_layers(channels, width)
        self.apply(_initialise)

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        query_TMC, gathered_TMC, _ = self._gather(features)
        projected: Tensor = self.output(gathered_TMC + query_TMC if self.residual else gathered_TMC)
        return projected

    def attention_weights(self, features: VisionFeatures) -> Tensor:
        """Return how much each head of each token takes from each key of its window, (T, M, heads, K)."""
        return self._gather(features)[2]

    def _gather(self, features: VisionFeatures) -> tuple[Tensor, Tensor, Tensor]:
        query_TMC = self.query(shrink(features.as_map(), self.target))
        levels = [windows(_on_grid(level, self.grid).movedim(1, -1), self.scale) for level in features.levels]
        # Joined in the order of windows: that takes the one copy that joining takes anyway.
        if self.level_mode == "channel":
            source = torch.cat(levels, dim=5).flatten(3, 4)
        else:
            source = torch.stack(levels, dim=3).flatten(3, 5)
        source_TMKC = source.flatten(1, 2)
        return query_TMC, *self.attention(query_TMC, self.key(source_TMKC), self.value(source_TMKC))


def shrink(map_TCHW: Tensor, target: Grid) -> Tensor:
    """Resize a map bilinearly without smoothing, in float32, and return its cells, (T, M, C)."""
    small = functional.interpolate(map_TCHW.float(), size=target, mode="bilinear", align_corners=False)
    return rows_of(small).to(map_TCHW.dtype)


def _on_grid(map_TCHW: Tensor, grid: Grid) -> Tensor:
    size = (map_TCHW.shape[2], map_TCHW.shape[3])
    if size == grid:
        return map_TCHW
    if size[0] % grid[0] == 0 and size[1] % grid[1] == 0:
        return functional.adaptive_avg_pool2d(map_TCHW, grid)
    if grid[0] % size[0] == 0 and grid[1] % size[1] == 0:
        return functional.interpolate(map_TCHW, size=grid, mode="nearest")
    raise ValueError(f"a level must be a multiple or a part of the grid {grid}, got {size}.")


def _norm(channels: int) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=_NORM_EPSILON)


def _initialise(module: nn.Module) -> None:
    """Draw the weights of a layer with a deviation of 0.02, as published, or with the same gain if narrow.

    0.02 belongs to layers of 1024 inputs and more. At a width of 48 it shrinks whatever passes by 7 with each
    layer, and a projector that is trained for minutes stays where it began.
    """
    # The packed matrix of the attention is no layer and keeps its own start, as published.
    if isinstance(module, nn.Linear):
        deviation = _DEVIATION * max(1.0, _PUBLISHED_INPUTS / module.in_features) ** 0.5
        nn.init.trunc_normal_(module.weight, std=deviation)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
