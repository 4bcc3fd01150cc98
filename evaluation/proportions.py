"""How high a share of a few objects may truly be.

Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the
American Statistical Association 22, 1927; Brown, Cai and DasGupta, "Interval Estimation for a Binomial
Proportion", Statistical Science 16, 2001, section 3.1.1, here the upper end alone, with one tail.
"""

import math

from scipy.special import ndtri


def wilson_upper(share: float, *, objects: int, confidence: float) -> float:
    """Return the upper end of the one-sided interval of a share.

    A mean of values between 0 and 1 spreads no more than a share of the same size, so for such a mean the end
    is too high rather than too low.

    Args:
        share: Found among the objects, in [0, 1].
        objects: Number that the share is of, at least 1.
        confidence: Chance that the end lies above the true share, in [0.5, 1).

    Raises:
        ValueError: If an argument lies outside its range.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must lie from 0 to 1, got {share}.")
    if objects < 1:
        raise ValueError(f"objects must be at least 1, got {objects}.")
    if not 0.5 <= confidence < 1.0:
        raise ValueError(f"confidence must lie from 0.5 to below 1, got {confidence}.")
    z = float(ndtri(confidence))
    doubt = z * z / objects
    spread = math.sqrt(share * (1.0 - share) * doubt + doubt * doubt / 4.0)
    return min(1.0, (share + doubt / 2.0 + spread) / (1.0 + doubt))
