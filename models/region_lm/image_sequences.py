"""The tokens of an image in the order in which the language model reads them.

Paper: Li et al., "TokenPacker: Efficient Visual Projector for Multimodal LLM", https://arxiv.org/abs/2407.02392,
section 3.3: a comma between the tiles of a row, a new line behind each row, the overview and a new line last.
The separators are the language model's own embeddings of these signs.

Shape suffixes:
    T = canvases of an image   M = tokens of a canvas   D = width of the language model
    E = ids of a separator   L = positions of the image
"""

import torch
from torch import Tensor

from models.vision.tiles import TileLayout


def image_sequence(tokens_TMD: Tensor, layout: TileLayout, *, column_ED: Tensor, row_ED: Tensor) -> Tensor:
    """Put the tiles of one image in a row, with separators.

    Args:
        tokens_TMD: Of its canvases: tiles row by row, the overview last.
        layout: Of the image.
        column_ED: Stands between two tiles of a row.
        row_ED: Stands behind each row and behind the overview.

    Returns:
        Shape (L, D).

    Raises:
        ValueError: If there are not as many canvases as the layout counts.
    """
    if len(tokens_TMD) != layout.count:
        raise ValueError(f"{layout} needs {layout.count} canvases, got {len(tokens_TMD)}.")
    pieces = []
    for number, tokens_MD in enumerate(tokens_TMD):
        is_overview = number == layout.rows * layout.columns
        ends_row = is_overview or (number + 1) % layout.columns == 0
        pieces += [tokens_MD, row_ED if ends_row else column_ED]
    return torch.cat(pieces)
