"""Cutting a large image into tiles of one size: which grid, and how many tokens it costs.

Paper: Li et al., "TokenPacker: Efficient Visual Projector for Multimodal LLM",
https://arxiv.org/abs/2407.02392, section 3.3. The paper compares the image with a grid at its own size; the
published code enlarges it 1.4 times first, which is the default here.

Shape suffixes:
    T = tiles   C = channels   H = height   W = width
"""

from dataclasses import dataclass

from torch import Tensor

from models.blocks.image_transform import fitted

Grid = tuple[int, int]
"""Rows and columns of tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileLayout:
    """The tiles of one image, row by row, and the overview behind them."""

    rows: int
    columns: int
    tile: int
    """Side of a tile, in pixels."""
    overview: bool
    """Whether one more tile shows the whole image."""

    def __post_init__(self) -> None:
        """Refuse a layout without tiles or pixels.

        Raises:
            ValueError: With the values.
        """
        if min(self.rows, self.columns, self.tile) < 1:
            raise ValueError(
                f"rows, columns and tile must be at least 1, got {self.rows}, {self.columns} and {self.tile}."
            )

    @property
    def count(self) -> int:
        """Tiles, the overview included."""
        return self.rows * self.columns + self.overview

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the tiles together, in pixels."""
        return self.rows * self.tile, self.columns * self.tile


def candidate_grids(most: int, max_strip: int | None = None) -> tuple[Grid, ...]:
    """List the grids of at most ``most`` tiles, by their number, then by rows.

    Args:
        most: Tiles, the overview not counted.
        max_strip: Longest grid of a single row or column; None for no limit.

    Raises:
        ValueError: If a limit is below 1.
    """
    longest = most if max_strip is None else max_strip
    if min(most, longest) < 1:
        raise ValueError(f"most and max_strip must be at least 1, got {most} and {max_strip}.")
    grids = (
        (rows, columns)
        for rows in range(1, most + 1)
        for columns in range(1, most // rows + 1)
        if min(rows, columns) > 1 or max(rows, columns) <= longest
    )
    return tuple(sorted(grids, key=lambda grid: (grid[0] * grid[1], grid[0])))


def choose_grid(
    height: int,
    width: int,
    *,
    tile: int,
    most: int,
    max_strip: int | None = None,
    overlap_prescale: float = 1.4,
    beta: float = 0.1,
) -> Grid:
    """Choose the grid that an image fills best without being enlarged or shrunk much.

    A grid scores the share of its pixels that the fitted image covers, plus ``beta`` times the overlap (IoU)
    of the enlarged image with the grid, both at the origin. Of equal scores the grid with fewer tiles wins.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        tile: Side of a tile, in pixels.
        most: Tiles, the overview not counted.
        max_strip: See ``candidate_grids``.
        overlap_prescale: How much the image is enlarged for the overlap: 1.0 as printed, 1.4 as released.
        beta: Weight of the overlap.

    Returns:
        Rows and columns.

    Raises:
        ValueError: If the image has no pixels or a limit is below 1.
    """
    if min(height, width, tile) < 1:
        raise ValueError(f"height, width and tile must be at least 1, got {height}, {width} and {tile}.")

    def score(grid: Grid) -> float:
        canvas = (grid[0] * tile, grid[1] * tile)
        area = canvas[0] * canvas[1]
        filled = fitted((height, width), canvas)
        enlarged = (overlap_prescale * height, overlap_prescale * width)
        shared = min(enlarged[0], canvas[0]) * min(enlarged[1], canvas[1])
        union = enlarged[0] * enlarged[1] + area - shared
        return filled[0] * filled[1] / area + beta * shared / (union + 1e-5)

    # max() keeps the first of equals, and the list rises in tiles.
    return max(candidate_grids(most, max_strip), key=score)


def layout_of(
    height: int,
    width: int,
    *,
    tile: int,
    most: int,
    max_strip: int | None = None,
    overlap_prescale: float = 1.4,
    beta: float = 0.1,
) -> TileLayout:
    """Lay the chosen grid out, with an overview where there is more than one tile. See ``choose_grid``."""
    rows, columns = choose_grid(
        height,
        width,
        tile=tile,
        most=most,
        max_strip=max_strip,
        overlap_prescale=overlap_prescale,
        beta=beta,
    )
    return TileLayout(rows=rows, columns=columns, tile=tile, overview=rows * columns > 1)


def sequence_length(layout: TileLayout, num_tokens: int) -> int:
    """Count the positions of an image in the language model's sequence.

    Tiles of a row stand with one separator between them, and one more ends each row and the overview.

    Args:
        layout: Of the image.
        num_tokens: Of one tile.
    """
    between = layout.rows * (layout.columns - 1)
    return num_tokens * layout.count + between + layout.rows + layout.overview


def cut(canvas_CHW: Tensor, layout: TileLayout) -> Tensor:
    """Cut a canvas into its tiles, row by row, without the overview.

    Returns:
        Of shape (rows * columns, C, tile, tile).

    Raises:
        ValueError: If the canvas does not have the layout's size.
    """
    if tuple(canvas_CHW.shape[1:]) != layout.canvas:
        raise ValueError(f"a canvas of {layout} must be {layout.canvas}, got {tuple(canvas_CHW.shape[1:])}.")
    channels, tile = canvas_CHW.shape[0], layout.tile
    split = canvas_CHW.reshape(channels, layout.rows, tile, layout.columns, tile)
    return split.permute(1, 3, 0, 2, 4).reshape(-1, channels, tile, tile)
