"""Where bfloat16 pays."""

from contextlib import AbstractContextManager

import torch


def has_fast_bfloat16() -> bool:
    """Say whether this processor multiplies bfloat16 in hardware (AVX512-BF16): ten times faster there."""
    return bool(torch.cpu._is_avx512_bf16_supported())  # no public name exists


def mixed_precision(*, bfloat16: bool) -> AbstractContextManager[object]:
    """Open a region whose convolutions run in bfloat16, or one that changes nothing."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16)
