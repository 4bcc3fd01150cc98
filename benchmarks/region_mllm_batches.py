"""Conversations and questions as batches: an image is read once; its number stands where its pixels were."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks.region_mllm_world import Asked, Shown, Split
from models.region_lm.batches import RegionBatch
from models.region_lm.conversation import encode
from models.region_lm.mentions import place
from models.region_lm.processing import RegionProcessor
from tasks.data.region_examples import load_example
from tasks.data.region_prompts import to_utterances
from tasks.data.region_records import RegionSample

KEPT = "kept"
"""Name under which a batch holds numbers of canvases in place of pixels."""


def encode_training(
    processor: RegionProcessor, split: Split, epochs: Sequence[Sequence[Sequence[RegionSample]]], shown: Shown
) -> list[RegionBatch]:
    """Turn conversations into batches of one sample.

    Args:
        processor: Of the system.
        split: The images.
        epochs: For each epoch, for each image, its conversations.
        shown: What stands for a region.
    """
    found = []
    for image, first in enumerate(epochs[0]):
        base = first[0]
        picture = _picture(processor, split, base, image, shown)
        found += [said(processor, picture, base, sample) for epoch in epochs for sample in epoch[image]]
    return found


def encode_questions(
    processor: RegionProcessor, split: Split, asked: Sequence[Asked], shown: Shown
) -> list[RegionBatch]:
    """Turn questions into batches of one sample that is to be answered."""
    pictures: dict[tuple[int, RegionSample], RegionBatch] = {}
    found = []
    for item in asked:
        key = item.image, item.base
        if key not in pictures:
            pictures[key] = _picture(processor, split, item.base, item.image, shown)
        found.append(said(processor, pictures[key], item.base, item.sample, answer_next=True))
    return found


def _picture(
    processor: RegionProcessor, split: Split, base: RegionSample, image: int, shown: Shown
) -> RegionBatch:
    """Read an image and its regions; its number stands where its pixels were."""
    batch = processor([load_example(base, split.folder, shown=shown)])
    return replace(batch, pixels={KEPT: torch.tensor([image])})


def said(
    processor: RegionProcessor,
    picture: RegionBatch,
    base: RegionSample,
    sample: RegionSample,
    *,
    answer_next: bool = False,
) -> RegionBatch:
    """Say something else about a picture that was read with the same regions, in any order."""
    slots = processor.settings.regions.slots if processor.settings.regions else ()
    utterances = to_utterances(sample)
    turns, order = place(utterances[: -1 if answer_next else None], slots, num_regions=len(sample.regions))
    masks = [region.mask for region in base.regions]
    where = [masks.index(region.mask) for region in sample.regions]
    encoded = encode(turns, processor.template, processor.tokenizer, answer_next=answer_next)
    return replace(picture, encoded=(encoded,), mentions=(tuple(where[index] for index in order),))


def join(batches: Sequence[RegionBatch]) -> RegionBatch:
    """Put batches of one sample together."""
    return RegionBatch(
        encoded=tuple(batch.encoded[0] for batch in batches),
        image_of=tuple(range(len(batches))),
        mentions=tuple(batch.mentions[0] for batch in batches),
        pixels={KEPT: torch.cat([batch.pixels[KEPT] for batch in batches])},
        layouts=tuple(batch.layouts[0] for batch in batches),
        transforms=tuple(batch.transforms[0] for batch in batches),
        masks=tuple(batch.masks[0] for batch in batches),
    )


def shuffled(batches: Sequence[RegionBatch], *, seed: int) -> list[RegionBatch]:
    """Give each question the image, and the region, of another one, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(batches), generator=generator).tolist()  # one circle: none keeps its own
    other = dict(zip(order, [*order[1:], order[0]], strict=True))
    return [replace(batches[other[number]], encoded=batch.encoded) for number, batch in enumerate(batches)]
