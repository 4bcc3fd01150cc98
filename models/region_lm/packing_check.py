"""Whether a language model keeps samples of one row apart; many do not, and say nothing.

Packing needs that every layer obeys a mask of blocks and counts positions as it is told. Convolutions and
recurrent layers carry what they read over to the next sample; a window that slides is what the mask replaces.

Shape suffixes:
    B = rows   L = positions   D = width of the language model
"""

import torch
from torch import Tensor

from models.region_lm.conversation import IGNORED
from models.region_lm.hub import RegionMLLM
from models.region_lm.packing import Packed
from models.region_lm.sequence import Spliced

_MASKED = ("eager", "sdpa")
"""Implementations of attention that add a mask to their scores."""
_LENGTHS = (7, 5)
"""Positions of the two samples that are tried."""


def packing_fault(model: RegionMLLM) -> str | None:
    """Say why a model would read packed samples otherwise than each alone; None: it would not.

    What the configuration says is looked at first: a window shows only in samples that are longer. Then two
    short samples are read, packed and alone.

    Args:
        model: Stays as it is.
    """
    language = model.language.config
    attention = language._attn_implementation
    if attention not in _MASKED:
        return f"its attention is {attention!r}; only {' and '.join(_MASKED)} read a mask of blocks"
    if others := sorted(set(getattr(language, "layer_types", None) or ()) - {"full_attention"}):
        return f"it has layers of the kind {others[0]!r}, which do not read a mask of blocks as it is"
    window = getattr(language, "sliding_window", None)
    if window is not None and window < getattr(language, "max_position_embeddings", window + 1):
        return f"its attention sees {window} positions at most, which a mask of blocks does not keep to"
    training = model.training
    model.train(False)
    try:
        return _fault_of_two(model)
    finally:
        model.train(training)


def _fault_of_two(model: RegionMLLM) -> str | None:
    table: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(0)
    count, first = sum(_LENGTHS), _LENGTHS[0]
    ids = torch.randint(len(table), (count,), generator=generator).to(table.device)
    embedding_BLD = table.detach()[ids][None].requires_grad_()
    position_BL = torch.cat([torch.arange(length) for length in _LENGTHS])[None].to(table.device)
    sample_BL = torch.repeat_interleave(torch.tensor([1, 2]), torch.tensor(_LENGTHS))[None].to(table.device)
    label_BL = torch.full_like(position_BL, IGNORED)
    with torch.no_grad():
        alone = model.read(
            Spliced(
                embedding_BLD=embedding_BLD.detach()[:, first:],
                label_BL=label_BL[:, first:],
                position_BL=position_BL[:, first:],
                mask_BL=torch.ones_like(position_BL[:, first:]),
                spans=((),),
                text_positions=((),),
            )
        ).logits[0]
    row = Packed(embedding_PLD=embedding_BLD, label_PL=label_BL, position_PL=position_BL, sample_PL=sample_BL)
    try:
        with torch.enable_grad():
            packed = model.read_packed(row).logits[0, first:]
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:  # it read one sample: what it lacks is the mask
        return f"it cannot read a mask of blocks ({type(error).__name__}: {str(error)[:200]})"
    (gradient_BLD,) = torch.autograd.grad(packed.float().square().sum(), embedding_BLD)
    if gradient_BLD[0, :first].any():  # a score that is masked has none at all
        return "what one sample says reaches the next one of its row"
    tolerance = torch.finfo(alone.dtype).eps ** 0.5 * alone.abs().max()
    if (alone - packed).abs().max() > tolerance:
        return "it reads a sample otherwise behind another one than alone"
    return None
