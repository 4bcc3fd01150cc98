"""A world in which CLIP can be taught in a minute: flat things of four colours and shapes on four grounds.

Every scene has a caption, "a photo of a red disc and a blue box on snow", and a true label map that only the
benchmark sees: 0 for the ground, then one class a colour. Shapes are named in captions and are no class, so
that a class is more than a caption. A tiny CLIP learns which caption belongs to which image and nothing else.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from models.segmentation.mask_clip import DEVIATION, MEAN

SIZE, PATCH = 48, 8
COLOURS = {
    "red": (0.85, 0.15, 0.15),
    "green": (0.10, 0.65, 0.20),
    "blue": (0.20, 0.30, 0.90),
    "yellow": (0.90, 0.85, 0.15),
}
GROUNDS = {
    "sand": (0.75, 0.62, 0.48),
    "snow": (0.92, 0.93, 0.95),
    "night": (0.08, 0.08, 0.12),
    "stone": (0.50, 0.50, 0.50),
}
SHAPES = ("disc", "box", "cone", "cross")
CLASSES = ("background", *COLOURS)
TEMPLATES = ("{}.", "a {}.", "a photo of a {}.", "a photo on {}.")
"""Sentences around a word in which this small vocabulary has every word."""
_SMALLEST, _LARGEST = 6.0, 11.0  # pixels: half the side of a thing
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaptionedScene:
    """One image with what is said of it and what is true of it."""

    pixels: NDArray[np.uint8]
    """RGB, shape (SIZE, SIZE, 3)."""
    ground: str
    things: tuple[tuple[str, str], ...]
    """Colour and shape of each."""
    labels: NDArray[np.uint8]
    """Place in ``CLASSES``, shape (SIZE, SIZE)."""

    def caption(self, generator: np.random.Generator) -> str:
        """Name everything, things in any order."""
        order = generator.permutation(len(self.things))
        named = " and ".join("a {} {}".format(*self.things[place]) for place in order)
        return f"a photo of {named} on {self.ground}."


def draw_scenes(seed: int, count: int) -> list[CaptionedScene]:
    """Draw scenes of one to three things that do not touch; the first ones do not depend on the count."""
    return [_draw(np.random.default_rng([seed, number])) for number in range(count)]


def _draw(generator: np.random.Generator) -> CaptionedScene:
    y, x = np.mgrid[:SIZE, :SIZE]
    ground = str(generator.choice(list(GROUNDS)))
    waves = generator.uniform(-0.4, 0.4, 2)
    pixels = np.array(GROUNDS[ground]) + generator.normal(0, 0.04, 3)
    pixels = pixels + 0.06 * np.sin(waves[0] * x + waves[1] * y + generator.uniform(0, 6))[..., None]
    pixels += generator.normal(0, 0.04, pixels.shape)
    labels, things = np.zeros((SIZE, SIZE), np.uint8), []
    for _ in range(generator.integers(1, 4)):
        for _ in range(_TRIES):
            shape, place = str(generator.choice(SHAPES)), int(generator.integers(len(COLOURS)))
            reach = generator.uniform(_SMALLEST, _LARGEST)
            centre = generator.uniform(reach, SIZE - reach, 2)
            mask = _shape(shape, (y - centre[0]) / reach, (x - centre[1]) / reach)
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            around = labels[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2]
            if around.any():
                continue
            colour = list(COLOURS)[place]
            pixels[mask] = np.array(COLOURS[colour]) + generator.normal(0, 0.06, 3)
            pixels[mask] += generator.normal(0, 0.05, (int(mask.sum()), 3))
            labels[mask] = place + 1
            things.append((colour, shape))
            break
    return CaptionedScene(
        pixels=np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8),
        ground=ground,
        things=tuple(things),
        labels=labels,
    )


def _shape(name: str, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the mask of a shape; coordinates are relative to its centre, in halves of its side."""
    match name:
        case "disc":
            return np.asarray(x**2 + y**2 <= 1.0)
        case "box":
            return (abs(x) <= 0.85) & (abs(y) <= 0.85)
        case "cone":
            return (y <= 0.8) & (y >= -1.0) & (1.8 * abs(x) <= y + 1.0)
        case _:
            bar = 0.4
            return ((abs(x) <= bar) & (abs(y) <= 1.0)) | ((abs(y) <= bar) & (abs(x) <= 1.0))


def new_clip(seed: int, *, blocks: int) -> tuple[CLIPModel, CLIPTokenizer]:
    """Make a CLIP of some vision blocks and one text block, and a tokenizer of the captions' words."""
    vocabulary, merges = _learn_words(("a", "photo", "of", "and", "on", *GROUNDS, *COLOURS, *SHAPES, "."))
    start = len(vocabulary)
    vocabulary |= {"<|startoftext|>": start, "<|endoftext|>": start + 1}
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    text = CLIPTextConfig(
        vocab_size=len(vocabulary), max_position_embeddings=32, bos_token_id=start, eos_token_id=start + 1,
        pad_token_id=start + 1, num_hidden_layers=1, **shape,
    )  # fmt: skip
    vision = CLIPVisionConfig(image_size=SIZE, patch_size=PATCH, num_hidden_layers=blocks, **shape)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(config), CLIPTokenizer(vocabulary, merges)


def _learn_words(words: tuple[str, ...]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Merge letters as byte pair encoding does, the most frequent pair first, until each word is one token.

    The trainer of the tokenizer library breaks ties by chance; here the alphabet does.
    """
    spelled = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    letters = sorted({letter for word in words for letter in word})
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for parts in spelled for pair in pairwise(parts)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        vocabulary.append("".join(best))
        spelled = [_merge(parts, best) for parts in spelled]
    return {token: place for place, token in enumerate(dict.fromkeys(vocabulary))}, merges


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def teach(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    scenes: list[CaptionedScene],
    *,
    steps: int,
    seed: int,
    batch: int = 64,
    rate: float = 2e-3,
) -> Iterator[tuple[int, float]]:
    """Teach which caption belongs to which image, and yield number and loss of each step.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
    https://arxiv.org/abs/2103.00020, figure 3. Differences: a batch of 64; images of the same things on the
    same ground are no negatives of each other.
    """
    generator = np.random.default_rng(seed)
    image = torch.tensor(np.stack([scene.pixels for scene in scenes])).permute(0, 3, 1, 2) / 255.0
    image = (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    alike = _numbers(scenes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1)
    model.train()
    for step in range(1, steps + 1):
        chosen = generator.integers(0, len(scenes), batch)
        captions = [scenes[place].caption(generator) for place in chosen]
        tokens = tokenizer(captions, padding=True, return_tensors="pt")
        logits = model(pixel_values=image[chosen], **tokens).logits_per_image
        same = alike[chosen][:, None] == alike[chosen][None]
        logits = logits.masked_fill(same & ~torch.eye(batch, dtype=torch.bool), -1e4)
        target = torch.arange(batch)
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield step, float(loss.detach())
    model.eval()


def _numbers(scenes: list[CaptionedScene]) -> Tensor:
    """Give scenes with the same content the same number."""
    content = [(scene.ground, tuple(sorted(scene.things))) for scene in scenes]
    known = {item: number for number, item in enumerate(dict.fromkeys(content))}
    return torch.tensor([known[item] for item in content])


def save_clip(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> Path:
    """Save both as the hub hands them out."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_classes(path: Path) -> Path:
    """Write the classes: grounds are words of one class."""
    lines = [f"background: {', '.join(GROUNDS)}", *COLOURS]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
