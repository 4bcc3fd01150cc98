"""A published checkpoint becomes a model: every name is placed or reported, every shape is compared.

Names and shapes come first and numbers later, so a checkpoint that does not fit is refused before much of it
is read.

Shape suffixes:
    V = vocabulary   C = channels
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from models.region_lm.assembly import announce_tokens, check_vocabulary, config_around
from models.region_lm.hub import RegionMLLM
from models.region_lm.processing import RegionProcessor
from models.region_lm.published_names import CLIP, CONVNEXT, Rules, rename, under

Shape = tuple[int, ...]

_CONVNEXT_HUB: Rules = {r"(?:convnext\.)?((?:embeddings|encoder|layernorm)\..+)": r"model.\1"}
ENCODERS: Rules = {
    **under("visual.trunk.", "vision.", CONVNEXT),
    **under("", "vision.", CLIP),
    **under("", "vision.", _CONVNEXT_HUB),
}
"""Of encoders that are published alone: OpenCLIP's ConvNeXt, and CLIP and ConvNeXt of transformers."""

_COMPUTED = re.compile(r"(?:.*\.)?(?:rotary_emb\.inv_freq|position_ids)")
_TABLES = ("language.model.embed_tokens.weight", "language.lm_head.weight")
"""One row for each token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamePlan:
    """What becomes of each published name."""

    places: dict[str, str]
    """Our name by published name."""
    unmatched: tuple[str, ...]
    """Published names without a place here."""
    computed: tuple[str, ...]
    """Published names of what is computed and no parameter: frequencies and numbers of positions."""


def outline(processor: RegionProcessor, language: PreTrainedConfig) -> RegionMLLM:
    """Build a model without weights, on the meta device, with a row for every token of the processor.

    Args:
        processor: Of the model; its tokenizer is the language model's, with placeholders.
        language: Of the language model; gets the new size of the vocabulary and the ids that end a text.

    Raises:
        ValueError: If the tokenizer has ids beyond the vocabulary that are no placeholders.
    """
    check_vocabulary(processor, language.vocab_size)
    language.vocab_size = max(language.vocab_size, max(processor.placeholder_ids.values()) + 1)
    announce_tokens(processor, language)
    with torch.device("meta"):
        return RegionMLLM(config_around(processor, language))


def wanted_shapes(model: RegionMLLM, rows: int) -> dict[str, Shape]:
    """Return what a checkpoint must have: shapes by our name.

    Args:
        model: From ``outline``.
        rows: Tokens of the checkpoint; the model has as many or more.
    """
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        shapes.pop(_TABLES[1], None)
    for name in _TABLES:
        if name in shapes:
            shapes[name] = (rows, *shapes[name][1:])
    return shapes


def place_names(published: Mapping[str, Shape], rules: Rules, wanted: Mapping[str, Shape]) -> NamePlan:
    """Find the place of every published name.

    Args:
        published: Shapes by published name.
        rules: From published names to ours.
        wanted: Shapes by our name.

    Raises:
        ValueError: If two names would share a place, or shapes differ; with both names and shapes.
    """
    computed = tuple(name for name in published if _COMPUTED.fullmatch(name))
    named, unknown = rename({name: name for name in published if name not in computed}, rules)
    places, homeless = {}, set(unknown)
    for ours, theirs in named.items():
        if ours not in wanted:
            homeless.add(theirs)
        elif published[theirs] != wanted[ours]:
            raise ValueError(
                f"{theirs!r} has the shape {list(published[theirs])}, but {ours!r}, which it becomes, "
                f"has {list(wanted[ours])}."
            )
        else:
            places[theirs] = ours
    return NamePlan(
        places=places,
        unmatched=tuple(name for name in published if name in homeless),
        computed=computed,
    )


def fill(model: RegionMLLM, state: dict[str, Tensor], *, known: int, new: Sequence[int]) -> None:
    """Give an outline its weights.

    Args:
        model: From ``outline``; changed in place.
        state: Weights by our name, as ``wanted_shapes`` says; emptied, so that nothing is held twice.
        known: Tokens that the checkpoint's tokenizer has. Rows of new tokens become the mean of theirs.
        new: Ids of placeholders that the tokenizer did not have.

    Raises:
        ValueError: If a weight is missing.
    """
    size = model.config.get_text_config().vocab_size
    for name in _TABLES:
        if name in state:
            state[name] = _with_rows(state[name], size, known=known, new=new)
    left = set(model.state_dict()) - state.keys()
    if model.config.tie_word_embeddings:
        left.discard(_TABLES[1])
    if left:
        raise ValueError(f"{sorted(left)[0]!r} has no value.")
    model.load_state_dict(state, strict=False, assign=True)
    state.clear()
    model.tie_weights()


def _with_rows(table_VC: Tensor, size: int, *, known: int, new: Sequence[int]) -> Tensor:
    mean_C = table_VC[:known].mean(dim=0, dtype=torch.float32).to(table_VC.dtype)
    if size > len(table_VC):
        table_VC = torch.cat([table_VC, mean_C.expand(size - len(table_VC), -1)])
    table_VC[list(new)] = mean_C
    return table_VC
