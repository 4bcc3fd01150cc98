"""What the region-level model learns and is asked: conversations about scenes of the shapes world.

Images are PNG files in a folder, as of any data set; samples are ``RegionSample``. Training hears whole
conversations; a held-out question is asked alone, so that no earlier answer helps.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from tasks.data.region_facts import RegionFacts
from tasks.data.region_records import RegionSample, RegionTurn
from tasks.data.region_samples import Negative, describe_samples, exists_samples
from tasks.data.shapes_facts import scene_facts, scene_file, scene_sample
from tasks.data.shapes_world import (
    COLOURS,
    SHAPES,
    Crowding,
    Scene,
    WorldSettings,
    count_questions,
    draw_scene,
)

Topic = Literal["regions", "images"]
"""What conversations are about: single regions, or the image as a whole."""
TOPICS: tuple[Topic, ...] = ("regions", "images")
Shown = Literal["mask", "box"]
CATEGORIES = tuple(f"{colour} {shape}" for colour, shape in product(COLOURS, SHAPES))
"""All that a shape can be called, without its size."""
ALIKE = {
    name: [other for other in CATEGORIES if len({*name.split(), *other.split()}) == 3] for name in CATEGORIES
}
"""Category -> the eight that share its colour or its shape."""
CAPTION, REGION_NEAREST, REGION_RANDOM = "caption", "region_exists_nearest", "region_exists_random"
IMAGE_MIXED, IMAGE_RANDOM, IMAGE_PART = "exists_mixed", "exists_random", "exists_part"
COUNT, ATTRIBUTE = "count", "attribute"
EXISTS = (REGION_NEAREST, REGION_RANDOM, IMAGE_MIXED, IMAGE_RANDOM, IMAGE_PART)
"""Kinds of questions whose answer is yes or no."""
_COUNTS, _ATTRIBUTES = 1, 2
"""Questions about an image beside those of yes and no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Scenes and where their images are."""

    folder: Path
    name: str
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question with its answer."""

    image: int
    """Place of its scene in the split."""
    kind: str
    answer: str
    sample: RegionSample
    """Of two turns."""
    base: RegionSample
    """With all regions of the image that it may be asked about."""


def draw_split(folder: Path, name: str, *, seed: int, count: int, crowding: Crowding) -> Split:
    """Draw scenes and write their images."""
    settings = WorldSettings(crowding=crowding, least=2 if crowding == "overlapping" else 1, most=4)
    (folder / name).mkdir(parents=True, exist_ok=True)
    scenes = tuple(draw_scene(seed, number, settings) for number in range(1, count + 1))
    for scene in scenes:
        Image.fromarray(scene.image).save(folder / scene_file(scene, name), compress_level=1)
    return Split(folder=folder, name=name, scenes=scenes)


def conversations(split: Split, topic: Topic, *, seed: int, epoch: int) -> list[list[RegionSample]]:
    """Make the conversations of one epoch of training: those of each scene.

    Before an answer says yes or no, it says what it is about: what the region is, or what in the image is
    most alike to what was asked for.

    Args:
        split: The scenes.
        topic: What they are about.
        seed: Decides questions and their order.
        epoch: Another one draws anew.
    """
    if topic == "images":
        return [
            [_sample(scene, split.name, conversation(scene, [seed, epoch], most=6))] for scene in split.scenes
        ]
    facts = [scene_facts(scene, split.name, say="caption") for scene in split.scenes]
    told = describe_samples(facts, seed=seed, epoch=epoch)
    asked = _existence(facts, seed=seed, epoch=epoch)
    asked = [_reasoned(sample, image) for sample, image in zip(asked, facts, strict=True)]
    return [list(pair) for pair in zip(told, asked, strict=True)]


def _existence(facts: Sequence[RegionFacts], *, seed: int, epoch: int) -> list[RegionSample]:
    """Ask of the regions of an image whether they are of a category, of a colour, or of a shape.

    What a region is not is the category of its neighbour, one alike, or any. One that is right but for its
    colour, or but for its shape, is the hardest and is what a third of the conversations deny.
    """
    colours = _relabelled(facts, lambda label: f"{label.split()[0]} object")
    shapes = _relabelled(facts, lambda label: label.split()[1])

    def asked(
        known: Sequence[RegionFacts], names: Sequence[str], negative: Negative = "nearest"
    ) -> list[RegionSample]:
        alike = ALIKE if negative == "similar" else None
        return exists_samples(
            known, seed=seed, epoch=epoch, negative=negative, categories=names, similar=alike
        )

    alike = asked(facts, CATEGORIES, "similar")
    ways = (
        alike,
        asked(colours, [f"{colour} object" for colour in COLOURS]),
        alike,
        asked(shapes, SHAPES),
        asked(facts, CATEGORIES),
        asked(facts, CATEGORIES, "random"),
    )
    return [ways[(number + epoch) % len(ways)][number] for number in range(len(facts))]


def _reasoned(sample: RegionSample, image: RegionFacts) -> RegionSample:
    """Let each answer say what the region is before it says yes or no."""
    captions = {fact.region.mask: fact.texts[0] for fact in image.regions}
    turns = list(sample.turns)
    for place in range(0, len(turns), 2):
        region = sample.regions[turns[place].marks[0]]
        said = f"{captions[region.mask]}. {turns[place + 1].parts[0]}"
        turns[place + 1] = RegionTurn(role="assistant", parts=(said,))
    return replace(sample, turns=tuple(turns))


def sentences(samples: Iterable[RegionSample]) -> set[str]:
    """Return the pieces of text that samples hold."""
    return {
        part for sample in samples for turn in sample.turns for part in turn.parts if isinstance(part, str)
    }


def verdict(answer: str) -> str:
    """Return the last sentence of an answer: behind what the region is, yes or no."""
    return answer.strip().removesuffix(".").rpartition(". ")[2] + "."


def _relabelled(facts: Sequence[RegionFacts], name: Callable[[str], str]) -> list[RegionFacts]:
    return [
        replace(
            image,
            regions=tuple(
                replace(fact, region=replace(fact.region, label=name(fact.region.label or "")))
                for fact in image.regions
            ),
        )
        for image in facts
    ]


def held_out(split: Split, topic: Topic) -> list[Asked]:
    """List the questions that are scored."""
    found: list[Asked] = []
    if topic == "images":
        for image, scene in enumerate(split.scenes):
            rounds = list(_image_questions(scene, np.random.default_rng([0, scene.number])))
            sample = _sample(scene, split.name, [(question, answer) for _, question, answer in rounds])
            found += [_alone(kind, image, sample, 2 * place) for place, (kind, _, _) in enumerate(rounds)]
        return found
    facts = [scene_facts(scene, split.name, say="caption") for scene in split.scenes]
    ways = {
        CAPTION: describe_samples(facts, seed=0),
        REGION_NEAREST: exists_samples(facts, seed=0, negative="nearest", categories=CATEGORIES),
        REGION_RANDOM: exists_samples(facts, seed=0, epoch=1, negative="random", categories=CATEGORIES),
    }
    for kind, samples in ways.items():
        for image, sample in enumerate(samples):
            found += [_alone(kind, image, sample, number) for number in range(0, len(sample.turns), 2)]
    return found


def _alone(kind: str, image: int, sample: RegionSample, number: int) -> Asked:
    """Take one question and its answer out of a conversation."""
    turns = sample.turns[number : number + 2]
    return Asked(
        image=image,
        kind=kind,
        answer=str(turns[1].parts[0]),
        sample=replace(sample, sample_id=f"{sample.sample_id}/{number}", turns=turns),
        base=sample,
    )


def conversation(scene: Scene, seed: Sequence[int], *, most: int) -> list[tuple[str, str]]:
    """Draw questions about a scene with their answers, in any order."""
    generator = np.random.default_rng([*seed, scene.number])
    rounds = [
        (question, f"{_most_alike(scene, question)}. {answer}" if kind in EXISTS else answer)
        for kind, question, answer in _image_questions(scene, generator)
    ]
    return [rounds[place] for place in generator.permutation(len(rounds))[:most]]


def _most_alike(scene: Scene, question: str) -> str:
    """Return the caption of the object that has most of a question's words; of several, the largest."""
    words = set(question.removesuffix("?").split())
    best = max(
        scene.objects, key=lambda shape: (len(words & {shape.colour, shape.shape}), int(shape.mask.sum()))
    )
    return best.caption


def _image_questions(scene: Scene, generator: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    """Draw questions about a scene: as many yes as no, counts, and what is the only one of its kind."""
    there = sorted({shape.category for shape in scene.objects})
    absent = [name for name in CATEGORIES if name not in there]
    colours, shapes = ({getattr(shape, name) for shape in scene.objects} for name in ("colour", "shape"))
    both = [name for name in absent if name.split()[0] in colours and name.split()[1] in shapes]
    one = [name for name in absent if name.split()[0] in colours or name.split()[1] in shapes]
    words = [f"{colour} object" for colour in COLOURS], list(SHAPES)
    part = words[int(generator.integers(2))]
    true = [word for word in part if word.split()[0] in colours | shapes]
    false = [word for word in part if word not in true]
    for kind, present, missing in (
        (IMAGE_MIXED, there, both or one),
        (IMAGE_RANDOM, there, absent),
        (IMAGE_PART, true, false),
    ):
        if missing:
            yield kind, _is_there(_drawn(present, generator)), "Yes."
            yield kind, _is_there(_drawn(missing, generator)), "No."
    counts = count_questions(scene)
    for place in generator.permutation(len(counts))[:_COUNTS]:
        yield COUNT, *counts[int(place)]
    single = list(_attributes(scene))
    for place in generator.permutation(len(single))[:_ATTRIBUTES]:
        yield ATTRIBUTE, *single[int(place)]


def _drawn(names: Sequence[str], generator: np.random.Generator) -> str:
    return names[int(generator.integers(len(names)))]


def _is_there(category: str) -> str:
    return f"Is there a {category} in the picture?"


def _attributes(scene: Scene) -> Iterator[tuple[str, str]]:
    """Ask for the colour of what alone has its shape, and for the shape of what alone has its colour."""
    for shape in SHAPES:
        found = [part for part in scene.objects if part.shape == shape]
        if len(found) == 1:
            yield f"What is the colour of the {shape}?", found[0].colour
    for colour in COLOURS:
        found = [part for part in scene.objects if part.colour == colour]
        if len(found) == 1:
            yield f"What is the shape of the {colour} object?", found[0].shape
            yield f"What is the size of the {colour} object?", found[0].size


def _sample(scene: Scene, split: str, rounds: Sequence[tuple[str, str]]) -> RegionSample:
    return scene_sample(scene, split, "image", [], [((question,), (answer,)) for question, answer in rounds])
