"""The model as transformers knows one: ``config.json`` and safetensors, loaded without code of its own.

One path serves every system: images to features, features to tokens, masks to tokens, all of them into the
text, the text through the language model. What a published system adds is in its settings.

Shape suffixes:
    B = samples   L = positions   V = vocabulary   T = canvases of all images   K = positions with a label
    D = width of the language model   R = regions of an image   W = canvases of one image
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from models.region_lm.batches import RegionBatch
from models.region_lm.build import build_parts
from models.region_lm.conversation import IGNORED
from models.region_lm.hub_config import RegionMLLMConfig
from models.region_lm.image_sequences import image_sequence
from models.region_lm.language_model import build_language_model
from models.region_lm.loaded_weights import always, load_checked
from models.region_lm.packing import Packed, block_mask
from models.region_lm.regions.mask_pooling import RegionTokens
from models.region_lm.sequence import Features, Spliced, splice
from models.region_lm.tokens import IMAGE, MASK, POSITION
from models.region_lm.trainable import has_adapters
from models.vision.stitching import stitch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What the images of a batch became."""

    images: tuple[Tensor, ...]
    """Of each image, shape (positions, D)."""
    regions: tuple[Mapping[str, Tensor], ...]
    """Of each image, by placeholder: one vector a region, (R, D)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionOutput:
    """What the language model said to a batch."""

    loss: Tensor | None
    """Cross-entropy, the mean over the labels of the batch; None if there are none."""
    num_labels: int
    """Labels of the batch. Steps that are added up pass their common number to ``forward``."""
    logits: Tensor
    """Of shape (B, L, V); where only labels were asked for, (K, V) in order of the text."""


class _Rows(NamedTuple):
    """What the language model runs over."""

    embedding_BLD: Tensor
    label_BL: Tensor
    position_BL: Tensor
    mask: Tensor
    """(B, L), or (B, 1, L, L) to be added to scores."""


class RegionMLLM(PreTrainedModel):
    """A language model that sees images and regions of them."""

    config_class = RegionMLLMConfig
    main_input_name = "batch"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: RegionMLLMConfig) -> None:
        super().__init__(config)
        self.settings = config.settings()
        self.vision, self.projector, self.regions = build_parts(
            self.settings, config.get_text_config().hidden_size
        )
        self.language = build_language_model(config.get_text_config())
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the weights that the parts gave themselves."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of text."""
        embedding: nn.Module = self.language.get_input_embeddings()
        return embedding

    def get_output_embeddings(self) -> nn.Module:
        """Return the layer that scores the vocabulary."""
        head: nn.Module = self.language.get_output_embeddings()  # type: ignore[no-untyped-call]
        return head

    def train(self, mode: bool = True) -> "RegionMLLM":
        """Switch to training; parts in which nothing learns stay as they are used."""
        super().train(mode)
        for part in self.children():
            part.train(mode and any(parameter.requires_grad for parameter in part.parameters()))
        for block in self.language.modules():
            # It is computed again in the backward pass only while it trains, frozen or not.
            if isinstance(block, GradientCheckpointingLayer) and block.gradient_checkpointing:
                block.training = mode
        return self

    def save_pretrained(  # type: ignore[override]  # its options are passed on
        self,
        save_directory: str | Path,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Write configuration and safetensors.

        Raises:
            ValueError: If adapters are not merged.
        """
        if has_adapters(self):
            raise ValueError("adapters are in the model: merge_adapters before it is saved.")
        super().save_pretrained(save_directory, **options)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # its options are passed on
        cls,
        folder: str | Path,
        **options: Any,  # noqa: ANN401
    ) -> "RegionMLLM":
        """Read what ``save_pretrained`` wrote, every weight of it.

        Raises:
            ValueError: If a weight is missing, has another shape, or has no place.
        """
        model: RegionMLLM = load_checked(super().from_pretrained, Path(folder), surplus=always, **options)
        return model

    def forward(
        self,
        batch: RegionBatch,
        *,
        logits: Literal["all", "labels"] = "all",
        num_labels: int | None = None,
    ) -> RegionOutput:
        """Read samples and score what the assistant says in them.

        Args:
            batch: On the device of the model.
            logits: Where to compute them; at labels alone costs less, and is all that learning needs.
            num_labels: What the sum of the loss is divided by; None: the labels of this batch. With the
                number of a whole step, the losses of its batches add up to the loss of the step.

        Raises:
            ValueError: If features and placeholders do not match, or a feature reaches beyond the longest
                sequence of the language model.
        """
        spliced = self.insert(batch, self.see(batch))
        return self.read(spliced, logits=logits, num_labels=num_labels)

    def see(self, batch: RegionBatch) -> Seen:
        """Turn images and regions into vectors of the language model: encoders run once over all canvases."""
        if not batch.layouts:
            return Seen(images=(), regions=())
        features = self.vision(batch.pixels)
        counts = [layout.count for layout in batch.layouts]
        tokens = self.projector(features).split(counts)
        if self.settings.images.kind == "tiles":
            column_ED, row_ED = (self._separator(name, tokens[0].dtype) for name in ("column", "row"))
            images = tuple(
                image_sequence(tokens_WMD, layout, column_ED=column_ED, row_ED=row_ED)
                for tokens_WMD, layout in zip(tokens, batch.layouts, strict=True)
            )
        else:
            images = tuple(tokens_WMD.flatten(0, 1) for tokens_WMD in tokens)
        if self.regions is None or not any(map(len, batch.masks)):
            return Seen(images=images, regions=({},) * len(images))
        split = [level.split(counts) for level in features.levels]
        maps = [
            [stitch(level[number], layout) for level in split] for number, layout in enumerate(batch.layouts)
        ]
        found = self.regions.forward_batch(maps, batch.masks)
        return Seen(images=images, regions=tuple(map(_by_placeholder, found)))

    def insert(
        self,
        batch: RegionBatch,
        seen: Seen,
        *,
        padding_side: Literal["left", "right"] = "right",
        limited: bool = True,
    ) -> Spliced:
        """Put what was seen into the texts.

        Args:
            batch: Samples.
            seen: From ``see``.
            padding_side: "right" to learn, "left" to generate.
            limited: Whether text behind the longest sequence of the language model is dropped.

        Raises:
            ValueError: If features and placeholders do not match, or a feature would be cut.
        """
        features = [
            self._features(seen, image, mentions)
            for image, mentions in zip(batch.image_of, batch.mentions, strict=True)
        ]
        return splice(
            batch.encoded,
            features,
            self.get_input_embeddings(),
            self.config.placeholder_ids,
            padding_side=padding_side,
            max_length=self.config.get_text_config().max_position_embeddings if limited else None,
        )

    def read(
        self,
        spliced: Spliced,
        *,
        logits: Literal["all", "labels"] = "all",
        num_labels: int | None = None,
    ) -> RegionOutput:
        """Run the language model over samples, one a row. For arguments see ``forward``."""
        row = _Rows(spliced.embedding_BLD, spliced.label_BL, spliced.position_BL, spliced.mask_BL)
        return self._score(row, logits=logits, num_labels=num_labels)

    def read_packed(
        self,
        packed: Packed,
        *,
        logits: Literal["all", "labels"] = "all",
        num_labels: int | None = None,
    ) -> RegionOutput:
        """Run the language model over rows of several samples, none of which sees another.

        Whether that holds for a language model says ``packing_fault``.
        """
        mask_B1LL = block_mask(packed.sample_PL, packed.embedding_PLD.dtype)
        row = _Rows(packed.embedding_PLD, packed.label_PL, packed.position_PL, mask_B1LL)
        return self._score(row, logits=logits, num_labels=num_labels)

    def _score(
        self, rows: _Rows, *, logits: Literal["all", "labels"], num_labels: int | None
    ) -> RegionOutput:
        target_BL = functional.pad(rows.label_BL[:, 1:], (0, 1), value=IGNORED)
        learned_BL = target_BL != IGNORED
        count = int(learned_BL.sum())
        only_labels = logits == "labels" and count > 0
        scored = self.language(
            inputs_embeds=rows.embedding_BLD,
            attention_mask=rows.mask,
            position_ids=rows.position_BL,
            use_cache=False,
            logits_to_keep=learned_BL if only_labels else 0,
        ).logits
        loss = None
        if count:
            learned_KV = scored if only_labels else scored[learned_BL]
            total = functional.cross_entropy(learned_KV.float(), target_BL[learned_BL], reduction="sum")
            loss = total / (count if num_labels is None else num_labels)
        return RegionOutput(loss=loss, num_labels=count, logits=scored)

    def _features(self, seen: Seen, image: int | None, mentions: tuple[int, ...]) -> Features:
        if image is None:
            return {}
        regions = seen.regions[image]
        shown = {
            name: [vector_RD[index : index + 1] for index in mentions] for name, vector_RD in regions.items()
        }
        return {IMAGE: [seen.images[image]], **shown}

    def _separator(self, name: str, dtype: torch.dtype) -> Tensor:
        ids = torch.tensor(self.config.separator_ids[name], device=self.device)
        embedded: Tensor = self.get_input_embeddings()(ids)
        return embedded.to(dtype)


def _by_placeholder(tokens: RegionTokens) -> dict[str, Tensor]:
    position = {} if tokens.position_RD is None else {POSITION: tokens.position_RD}
    return {MASK: tokens.mask_RD, **position}
