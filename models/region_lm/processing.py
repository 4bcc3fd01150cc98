"""From conversations about images to batches, and from answers to text. Saved beside the model it serves."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from models.blocks.image_transform import ImageTransform
from models.blocks.stored_values import from_stored, to_stored
from models.region_lm.batches import RegionBatch, RegionExample
from models.region_lm.build import chat_template
from models.region_lm.config import ModelSettings
from models.region_lm.conversation import IGNORED, Encoded, Token, encode
from models.region_lm.mentions import Utterance, place
from models.region_lm.tokens import IMAGE, add_tokens, separator_ids, token_ids
from models.vision.canvas import Canvas, pad_square, stretch, tiles
from models.vision.tiles import TileLayout

_FILE = "region_processor.json"
_MASKS = "masks must be bool of shape (regions, height, width)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Picture:
    """One image with its regions."""

    pixels: dict[str, Tensor]
    layout: TileLayout
    transform: ImageTransform
    mask_RHW: Tensor


class RegionProcessor:
    """Makes batches for one kind of model.

    Args:
        tokenizer: Has the placeholders of the settings; ``new_processor`` adds them.
        settings: Of the model.
        new: Placeholders that the tokenizer has only since now, so that no language model has learned them.

    Raises:
        TypeError: If the tokenizer is not one that a ``tokenizer.json`` holds.
        ValueError: If the tokenizer lacks a placeholder, a mark of the template, or what ends an answer.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        settings: ModelSettings,
        *,
        new: Collection[str] = (),
    ) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise TypeError(f"tokenizer must be a PreTrainedTokenizerFast, got {type(tokenizer).__name__}.")
        self.tokenizer, self.settings, self.new = tokenizer, settings, frozenset(new)
        self.template = chat_template(settings)
        self.placeholder_ids = token_ids(tokenizer, settings.placeholders)
        terminator = self.template.terminator or tokenizer.eos_token
        if terminator is None:
            raise ValueError(f"template {self.template.name!r} needs a tokenizer with an eos_token.")
        self.terminator_id = token_ids(tokenizer, [terminator])[terminator]
        self.separator_ids = {
            "column": separator_ids(tokenizer, ","),
            "row": separator_ids(tokenizer, "\n"),
        }

    def __call__(
        self, examples: Sequence[RegionExample], *, answer_next: bool = False, max_length: int | None = None
    ) -> RegionBatch:
        """Make a batch of samples, each with its own image or none.

        Args:
            examples: At least one.
            answer_next: Whether the model is to answer; otherwise every sample ends with an answer.
            max_length: Longer samples lose ids at their end, before features are put in; None: none does.

        Raises:
            TypeError: If an image is not uint8 or masks are not bool.
            ValueError: With the number of the sample, if an image, a mask or a text cannot be used.
        """
        if not examples:
            raise ValueError("a batch needs at least one sample.")
        pictures: list[_Picture] = []
        image_of: list[int | None] = []
        texts = []
        for number, example in enumerate(examples):
            try:
                if example.image is not None:
                    pictures.append(self._picture(example.image, example.masks))
                elif example.masks is not None and len(example.masks):
                    raise ValueError(f"it has {len(example.masks)} regions and no image.")
                image_of.append(None if example.image is None else len(pictures) - 1)
                texts.append(
                    self.encode(
                        example.turns,
                        num_regions=None if example.image is None else len(pictures[-1].mask_RHW),
                        answer_next=answer_next,
                        max_length=max_length,
                    )
                )
            except (TypeError, ValueError) as error:
                raise type(error)(f"sample {number}: {error}") from error
        return _batch(pictures, image_of, texts)

    def ask(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_] | None,
        questions: Sequence[Sequence[Utterance]],
    ) -> RegionBatch:
        """Make a batch of many questions about one image, which the model then sees once.

        Args:
            image: RGB, of shape (height, width, 3).
            masks: Regions that the questions may mention, of shape (R, height, width).
            questions: Conversations that end with the user.

        Raises:
            TypeError: If the image is not uint8 or masks are not bool.
            ValueError: If the image, a mask or a question cannot be used.
        """
        if not questions:
            raise ValueError("a batch needs at least one question.")
        picture = self._picture(image, masks)
        texts = []
        for number, turns in enumerate(questions):
            try:
                texts.append(self.encode(turns, num_regions=len(picture.mask_RHW), answer_next=True))
            except ValueError as error:
                raise ValueError(f"question {number}: {error}") from error
        return _batch([picture], [0] * len(questions), texts)

    def decode(self, ids: Sequence[int]) -> str:
        """Return what an answer says, without special tokens and spaces around it."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return str(text).strip()

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the tokenizer's files and the settings."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(folder)
        text = json.dumps(to_stored(self.settings), indent=2)
        (folder / _FILE).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read what ``save_pretrained`` wrote.

        Raises:
            FileNotFoundError: If the folder has no processor.
            ValueError: If its settings are not those of a model.
        """
        path = Path(folder) / _FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: name a folder that a RegionProcessor was saved to.")
        settings = from_stored(ModelSettings, json.loads(path.read_text(encoding="utf-8")), str(path))
        # Whatever class it had, tokenizer.json says all that it does.
        return cls(PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True), settings)

    def encode(
        self,
        turns: Sequence[Utterance],
        *,
        num_regions: int | None,
        answer_next: bool = False,
        max_length: int | None = None,
    ) -> tuple[Encoded, tuple[int, ...]]:
        """Encode one conversation, for which no pixels are needed.

        Args:
            turns: What is said.
            num_regions: Of its image; None: it has no image.
            answer_next: Whether the model is to answer.
            max_length: See ``__call__``.

        Returns:
            The ids with their labels, and the regions that the text mentions, in order.

        Raises:
            ValueError: If the text cannot be used, or would lose a placeholder or everything that it teaches.
        """
        count = sum(part == Token(IMAGE) for turn in turns for part in turn.parts)
        if count != (num_regions is not None):
            have = "no image" if num_regions is None else "one image"
            raise ValueError(f"it has {have} and {count} placeholders {IMAGE!r}.")
        slots = self.settings.regions.slots if self.settings.regions else ()
        placed, mentions = place(turns, slots, num_regions=num_regions or 0)
        encoded = encode(placed, self.template, self.tokenizer, answer_next=answer_next)
        if max_length is not None:
            encoded = self.cut(encoded, max_length)
        return encoded, mentions

    def cut(self, encoded: Encoded, max_length: int) -> Encoded:
        """Drop ids behind the limit.

        Raises:
            ValueError: If a placeholder, or everything that is learned, would be lost.
        """
        placeholders = set(self.placeholder_ids.values())
        if lost := [number for number in encoded.ids[max_length:] if number in placeholders]:
            raise ValueError(
                f"its {len(encoded.ids)} ids, cut to max_length {max_length}, would lose "
                f"{self.tokenizer.decode(lost[:1])!r}: use a longer limit or fewer regions."
            )
        cut = Encoded(encoded.ids[:max_length], encoded.labels[:max_length])
        if any(label != IGNORED for label in encoded.labels) and set(cut.labels) == {IGNORED}:
            raise ValueError(f"its {len(encoded.ids)} ids, cut to max_length {max_length}, teach nothing.")
        return cut

    def _picture(self, image: NDArray[np.uint8], masks: NDArray[np.bool_] | None) -> _Picture:
        canvases = {name: self._canvas(image, side) for name, side in self.settings.vision.sides.items()}
        # Regions are read from the levels, and these are ConvNeXt's where it is.
        canvas = canvases.get("convnext") or canvases["clip"]
        return _Picture(
            pixels={name: part.pixels_T3HW for name, part in canvases.items()},
            layout=canvas.layout,
            transform=canvas.transform,
            mask_RHW=self._masks(masks, canvas.transform),
        )

    def _canvas(self, image: NDArray[np.uint8], side: int) -> Canvas:
        images = self.settings.images
        match images.kind:
            case "stretch":
                return stretch(image, side)
            case "pad_square":
                return pad_square(image, side)
            case "tiles":
                return tiles(
                    image,
                    side,
                    most=images.most_tiles or 1,
                    max_strip=images.max_strip,
                    overlap_prescale=images.overlap_prescale,
                )

    def _masks(self, masks: NDArray[np.bool_] | None, transform: ImageTransform) -> Tensor:
        """Take masks to the canvas, after refusing those that no model can read."""
        if masks is None or len(masks) == 0:
            return torch.zeros((0, *transform.canvas), dtype=torch.bool)
        regions, size = self.settings.regions, transform.source
        if regions is None:
            raise ValueError(f"it has {len(masks)} regions, but this model sees none.")
        if masks.dtype != np.bool_:
            raise TypeError(f"{_MASKS}, got {masks.dtype}.")
        if masks.ndim != 3 or masks.shape[1:] != size:
            raise ValueError(f"{_MASKS}; the image is {size[0]} x {size[1]}, got {masks.shape}.")
        if len(masks) > regions.most:
            raise ValueError(
                f"it has {len(masks)} regions, at most {regions.most} are allowed: "
                "split the sample, or raise regions.most."
            )
        for number, mask in enumerate(masks):
            if not mask.any():
                raise ValueError(f"the mask of region {number} is empty: remove the region.")
        return transform.map_masks(torch.from_numpy(masks))


def new_processor(tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> RegionProcessor:
    """Add the placeholders of a model to a tokenizer, in place, and make its processor.

    Raises:
        ValueError: If the vocabulary has one as ordinary text, or lacks a mark of the template.
    """
    before = {token.content for token in tokenizer.added_tokens_decoder.values()}
    add_tokens(tokenizer, settings.placeholders)
    new = frozenset(settings.placeholders) - before
    return RegionProcessor(tokenizer, settings, new=new)


def _batch(
    pictures: Sequence[_Picture],
    image_of: Sequence[int | None],
    texts: Sequence[tuple[Encoded, tuple[int, ...]]],
) -> RegionBatch:
    names = pictures[0].pixels if pictures else ()
    return RegionBatch(
        encoded=tuple(encoded for encoded, _ in texts),
        image_of=tuple(image_of),
        mentions=tuple(mentions for _, mentions in texts),
        pixels={name: torch.cat([picture.pixels[name] for picture in pictures]) for name in names},
        layouts=tuple(picture.layout for picture in pictures),
        transforms=tuple(picture.transform for picture in pictures),
        masks=tuple(picture.mask_RHW for picture in pictures),
    )
