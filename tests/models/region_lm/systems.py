"""The tiny twins of the published systems, with random weights, and samples for them."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from models.region_lm.assembly import new_region_mllm
from models.region_lm.batches import RegionExample
from models.region_lm.config import LanguageSettings
from models.region_lm.conversation import Token
from models.region_lm.hub import RegionMLLM
from models.region_lm.mentions import Mention, Utterance
from models.region_lm.processing import RegionProcessor, new_processor
from models.region_lm.recipes import RegionRecipe
from models.region_lm.tokens import IMAGE
from tasks.operations.region_files import read_region_recipe
from tests.models.region_lm.vocabularies import byte_level

ROOT = Path(__file__).resolve().parents[3]
TINY = ("osprey_tiny", "tokenpacker_tiny", "tokenpacker_hd_tiny", "tokenpacker_osprey_hd_tiny")
WITH_REGIONS = ("osprey_tiny", "tokenpacker_osprey_hd_tiny")
SIZES = ((96, 96), (70, 150), (200, 190))
"""Of images; as tiles they are 1, 2 and 4, each but the first with an overview."""


@cache
def recipe(name: str) -> RegionRecipe:
    return read_region_recipe(name, [], ROOT)


def new_system(name: str, *, seed: int = 0, **language: object) -> tuple[RegionProcessor, RegionMLLM]:
    """Build a system whose vocabulary is full, so that placeholders get new rows."""
    tokenizer = byte_level()
    settings: LanguageSettings = replace(recipe(name).language, vocabulary=len(tokenizer), **language)
    processor = new_processor(tokenizer, recipe(name).model)
    torch.manual_seed(seed)
    return processor, new_region_mllm(processor, settings).eval()


@cache
def system(name: str, family: str = "llama") -> tuple[RegionProcessor, RegionMLLM]:
    """Build a system once; tests leave it as it is."""
    return new_system(name, family=family)


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def region_masks(size: tuple[int, int], count: int) -> np.ndarray:
    """Rectangles side by side, each its own."""
    masks = np.zeros((count, *size), dtype=np.bool_)
    for number in range(count):
        left = number * size[1] // count
        masks[number, 3 : 10 + 5 * number, left : left + 8 + 3 * number] = True
    return masks


def example(
    size: tuple[int, int] | None,
    *,
    regions: int = 0,
    answer: str | None = "a small red circle",
    seed: int = 0,
) -> RegionExample:
    """Ask about every region of an image, or about nothing that is seen."""
    if size is None:
        parts: tuple = ("Is there a green triangle?",)
    else:
        shown = [part for number in range(regions) for part in (f" region{number + 1}", Mention(number))]
        parts = (Token(IMAGE), "\nWhat is in", *shown, "?")
    turns = [Utterance(role="user", parts=parts)]
    if answer is not None:
        turns.append(Utterance(role="assistant", parts=(answer,)))
    return RegionExample(
        image=None if size is None else picture(size, seed),
        masks=region_masks(size, regions) if size is not None and regions else None,
        turns=tuple(turns),
    )


def mixed(name: str, *, answers: bool = True) -> list[RegionExample]:
    """Images of three sizes, one of them without regions, and a sample of text alone."""
    counts = (2, 0, 3) if name in WITH_REGIONS else (0, 0, 0)
    words = ("a small red circle", "Yes.", "a large blue square, a yellow cross", "No.")
    samples = [
        example(size, regions=count, answer=word if answers else None, seed=number)
        for number, (size, count, word) in enumerate(zip(SIZES, counts, words, strict=False))
    ]
    samples.insert(1, example(None, answer=words[3] if answers else None))
    return samples
