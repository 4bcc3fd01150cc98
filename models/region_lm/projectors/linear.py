"""Projectors that keep every token.

Papers: Liu et al., "Visual Instruction Tuning", https://arxiv.org/abs/2304.08485 (one layer); Liu et al.,
"Improved Baselines with Visual Instruction Tuning", https://arxiv.org/abs/2310.03744 (two layers).
"""

from torch import Tensor, nn

from models.region_lm.projectors.interface import Grid, Projector, two_layers
from models.vision.features import VisionFeatures


class LinearProjector(Projector):
    """One matrix.

    Args:
        channels: Of a token.
        grid: Rows and columns of tokens.
        width: Of the language model.
    """

    def __init__(self, *, channels: int, grid: Grid, width: int) -> None:
        super().__init__(grid=grid, scale=1)
        self.layer = nn.Linear(channels, width)

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        projected: Tensor = self.layer(features.tokens_TNC)
        return projected


class MlpProjector(Projector):
    """Two matrices with a GELU between them.

    Args:
        channels: Of a token.
        grid: Rows and columns of tokens.
        width: Of the language model.
    """

    def __init__(self, *, channels: int, grid: Grid, width: int) -> None:
        super().__init__(grid=grid, scale=1)
        self.layers = two_layers(channels, width)

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        projected: Tensor = self.layers(features.tokens_TNC)
        return projected
