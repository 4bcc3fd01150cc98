"""Maps of tiles -> one map of the image, so that a region that tiles cut is pooled as one.

Shape suffixes:
    T = tiles of an image, the overview last   C = channels   H, W = cells of a tile
"""

from torch import Tensor

from models.vision.tiles import TileLayout


def stitch(map_TCHW: Tensor, layout: TileLayout) -> Tensor:
    """Put the maps of an image's tiles side by side; the overview is left out.

    Args:
        map_TCHW: One level of one image, tiles row by row, the overview behind them if there is one.
        layout: Of the image.

    Returns:
        Shape (C, rows * H, columns * W): the map of the canvas that was cut, padding included.

    Raises:
        ValueError: If there are not as many maps as the layout has tiles.
    """
    if map_TCHW.ndim != 4 or len(map_TCHW) != layout.count:
        raise ValueError(
            f"maps of {layout} must have shape ({layout.count}, C, H, W), got {tuple(map_TCHW.shape)}."
        )
    channels, height, width = map_TCHW.shape[1:]
    rows, columns = layout.rows, layout.columns
    grid = map_TCHW[: rows * columns].reshape(rows, columns, channels, height, width)
    return grid.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
