"""CLIP says what class every patch is of, without any annotation.

Paper: Zhou et al., "Extract Free Dense Labels from CLIP" (MaskCLIP), https://arxiv.org/abs/2112.01071: the
last block keeps its values and leaves out its attention; prompt denoising and key smoothing refine what it
says. Differences: CLIP is that of transformers, of any size; smoothed probabilities are scaled to a sum of 1
over the classes, which leaves the best class as it is; a class may have several words and says as much as the
likeliest of them. As in the release, the weights of key smoothing are not normalised, and the keys are those
after the output projection. The likeness of all pairs of keys is never written out: (K^T K) P = K^T (K P).

Shape suffixes:
    B = images   N = patches   D = width of the transformer   E = width of the joint space   K = classes
    V = words of all classes   T = templates   H = rows of patches   W = columns of patches
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel

SCALE = 100.0
"""Of cosines before the softmax: the largest that CLIP was trained with."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_SILENCED = -100.0


class DenseFeatures(NamedTuple):
    """What CLIP's image tower says about every patch."""

    value_BEHW: Tensor
    """In the joint space, of length 1."""
    key_BDHW: Tensor
    """Of length 1."""


@torch.no_grad()
def dense_features(
    model: CLIPModel,
    image_BCHW: Tensor,
    *,
    mean: Sequence[float] = MEAN,
    deviation: Sequence[float] = DEVIATION,
) -> DenseFeatures:
    """Read every patch of images.

    Args:
        model: Of transformers, in evaluation mode.
        image_BCHW: Values in [0, 1], of any size of at least one patch; what is left over at the right and
            below is not read.
        mean: Of each colour, that the model was trained with; that of the authors by default.
        deviation: The same for the standard deviation.

    Returns:
        Values and keys of the last block.

    Raises:
        ValueError: If an image is smaller than a patch.
    """
    tower: Any = model.vision_model
    patch = int(tower.config.patch_size)
    rows, columns = image_BCHW.shape[2] // patch, image_BCHW.shape[3] // patch
    if rows < 1 or columns < 1:
        raise ValueError(
            f"images must be at least {patch} x {patch} pixels, got {tuple(image_BCHW.shape[2:])}."
        )
    shift, spread = (image_BCHW.new_tensor(part)[:, None, None] for part in (mean, deviation))
    pixels = ((image_BCHW - shift) / spread)[..., : rows * patch, : columns * patch]
    hidden = tower.pre_layrnorm(tower.embeddings(pixels, interpolate_pos_encoding=True))
    *blocks, last = tower.encoder.layers
    for block in blocks:
        hidden = block(hidden, attention_mask=None)
    normed = last.layer_norm1(hidden)
    attention = last.self_attn
    value = hidden + attention.out_proj(attention.v_proj(normed))
    value = value + last.mlp(last.layer_norm2(value))
    value = model.visual_projection(tower.post_layernorm(value))
    key = attention.out_proj(attention.k_proj(normed))

    def as_map(tokens: Tensor) -> Tensor:
        patches = functional.normalize(tokens[:, 1:], dim=2)  # the first token is of the whole image
        return patches.transpose(1, 2).reshape(len(tokens), -1, rows, columns)

    return DenseFeatures(value_BEHW=as_map(value), key_BDHW=as_map(key))


@torch.no_grad()
def embed_classes(
    model: CLIPModel,
    tokenize: Callable[[list[str]], dict[str, Tensor]],
    names: Sequence[str],
    templates: Sequence[str],
) -> Tensor:
    """Embed each class, or each word of the classes, as the mean of its sentences.

    Args:
        model: Of transformers, in evaluation mode.
        tokenize: Texts to ``input_ids`` and ``attention_mask``, padded.
        names: Of the classes, or words.
        templates: Each with one ``{}``.

    Returns:
        Directions of length 1, shape (K, E) or (V, E).

    Raises:
        ValueError: If there is no class or template, or a template has no place for the name.
    """
    if not names or not templates:
        raise ValueError(
            f"{len(names)} names and {len(templates)} templates: at least one of each is needed."
        )
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"a template must hold one {{}} for the name, got {template!r}.")
    rows = []
    for name in names:
        texts = [template.replace("{}", name) for template in templates]
        text_TE = model.get_text_features(**tokenize(texts)).pooler_output
        rows.append(functional.normalize(text_TE, dim=1).mean(dim=0))
    return functional.normalize(torch.stack(rows), dim=1)


def class_probabilities(
    features: DenseFeatures,
    text_VE: Tensor,
    *,
    owner_V: Tensor | None = None,
    denoise: float | None = 0.5,
    smooth: float | None = 1.0,
) -> Tensor:
    """Return how likely each patch is of each class.

    Args:
        features: From ``dense_features``.
        text_VE: From ``embed_classes``.
        owner_V: Class of each word, int64, from 0 without a gap; None: one word a class.
        denoise: Classes that no patch reaches with this probability are left out; None: all stay. Where none
            reaches it, all stay too.
        smooth: Patches whose best probability is below this get the mean of all patches, weighted by the
            likeness of keys; 1.0: every patch; None: no patch.

    Returns:
        Shape (B, K, H, W), in [0, 1]; sums over classes are 1.
    """
    logit_BKHW = SCALE * torch.einsum("behw,ve->bvhw", features.value_BEHW, text_VE)
    if owner_V is not None:
        logit_BKHW = _best_words(logit_BKHW, owner_V)
    if denoise is not None:
        highest_BK11 = logit_BKHW.softmax(dim=1).amax(dim=(2, 3), keepdim=True)
        silent_BK11 = highest_BK11 < denoise
        silent_BK11 = silent_BK11 & ~silent_BK11.all(dim=1, keepdim=True)
        logit_BKHW = logit_BKHW.masked_fill(silent_BK11, _SILENCED)
    probability_BKHW = logit_BKHW.softmax(dim=1)
    if smooth is None:
        return probability_BKHW
    key_BDN, flat_BKN = features.key_BDHW.flatten(2), probability_BKHW.flatten(2)
    mixed_BKN = ((flat_BKN @ key_BDN.transpose(1, 2)) @ key_BDN).clamp(min=0.0)
    mixed_BKN = mixed_BKN / mixed_BKN.sum(dim=1, keepdim=True).clamp(min=1e-12)
    unsure_B1N = flat_BKN.amax(dim=1, keepdim=True) < smooth
    if smooth >= 1.0:
        unsure_B1N = torch.ones_like(unsure_B1N)
    return torch.where(unsure_B1N, mixed_BKN, flat_BKN).reshape(probability_BKHW.shape)


def _best_words(logit_BVHW: Tensor, owner_V: Tensor) -> Tensor:
    """Take the highest logit among the words of each class; raises ValueError if a class has no word."""
    count_K = torch.bincount(owner_V)
    if len(owner_V) != logit_BVHW.shape[1] or not bool(count_K.all()):
        raise ValueError(
            f"owner_V must name a class from 0 without a gap for each of {logit_BVHW.shape[1]} words, "
            f"got {owner_V.tolist()}."
        )
    best = [logit_BVHW[:, owner_V == number].amax(dim=1) for number in range(len(count_K))]
    return torch.stack(best, dim=1)
