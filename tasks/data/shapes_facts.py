"""What is true in a scene of the shapes world, as facts and conversations about regions."""

from typing import Literal

import numpy as np

from tasks.data.region_facts import FactRegion, RegionFacts
from tasks.data.region_records import Part, RegionMark, RegionSample, RegionTurn, SampleRegion
from tasks.data.rle import encode_mask
from tasks.data.shapes_world import Mask, Scene, box_of, count_questions, expressions, is_left_of

DATASET = "shapes"


def scene_file(scene: Scene, split: str) -> str:
    """Return where the image of a scene stands in its dataset."""
    return f"{split}/{scene.number:06d}.png"


def scene_facts(scene: Scene, split: str, *, say: Literal["caption", "expressions"]) -> RegionFacts:
    """List the objects with category and texts.

    Args:
        scene: The scene.
        split: Stands in the facts.
        say: The one caption, or all expressions that fit no other object.
    """
    return RegionFacts(
        dataset=DATASET,
        split=split,
        image_id=str(scene.number),
        file=scene_file(scene, split),
        size=(scene.image.shape[0], scene.image.shape[1]),
        regions=tuple(
            FactRegion(
                region=_region(shape.mask, shape.category),
                texts=(shape.caption,) if say == "caption" else expressions(scene, index),
            )
            for index, shape in enumerate(scene.objects)
        ),
    )


def scene_dialogue(scene: Scene, split: str) -> RegionSample:
    """Speak about several regions at once: what each is, and which lies further left."""
    turns: list[tuple[tuple[Part, ...], tuple[Part, ...]]] = []
    for index, shape in enumerate(scene.objects):
        question: tuple[Part, ...] = ("What is ", RegionMark(index), "?")
        turns.append((question, (RegionMark(index), f" is a {shape.caption}.")))
    for index in range(1, len(scene.objects)):
        left = is_left_of(scene.objects[index - 1], scene.objects[index])
        if left is not None:
            question = ("Which lies further left, ", RegionMark(index - 1), " or ", RegionMark(index), "?")
            turns.append((question, (RegionMark(index - 1 if left else index), ".")))
    return scene_sample(
        scene, split, "dialogue", [(shape.mask, shape.category) for shape in scene.objects], turns
    )


def scene_short_form(scene: Scene, split: str) -> RegionSample:
    """Ask for colour, shape and size of each region; answers are single words."""
    turns: list[tuple[tuple[Part, ...], tuple[Part, ...]]] = []
    for index, shape in enumerate(scene.objects):
        asked = (("colour", shape.colour), ("shape", shape.shape), ("size", shape.size))
        turns += [((f"What is the {name} of ", RegionMark(index), "?"), (answer,)) for name, answer in asked]
    return scene_sample(
        scene, split, "short", [(shape.mask, shape.category) for shape in scene.objects], turns
    )


def scene_parts(scene: Scene, split: str) -> RegionSample | None:
    """Ask which part of what each stripe is, and of which colour; None without a stripe."""
    striped = [shape for shape in scene.objects if shape.stripe is not None]
    turns: list[tuple[tuple[Part, ...], tuple[Part, ...]]] = []
    for index, shape in enumerate(striped):
        whose: tuple[Part, ...] = ("Which part of which object is ", RegionMark(index), "?")
        turns.append((whose, (f"stripe of a {shape.category}",)))
        turns.append((("What is the colour of ", RegionMark(index), "?"), (shape.stripe or "",)))
    regions = [(shape.stripe_mask, f"{shape.shape}:stripe") for shape in striped]
    return scene_sample(scene, split, "parts", regions, turns) if striped else None


def scene_questions(scene: Scene, split: str, *, seed: int, most: int = 4) -> RegionSample:
    """Ask how many there are of what: a conversation about the whole image."""
    asked = count_questions(scene)
    generator = np.random.default_rng([seed, scene.number])
    kept = [asked[place] for place in generator.permutation(len(asked))[:most]]
    return scene_sample(scene, split, "count", [], [((question,), (answer,)) for question, answer in kept])


def _region(mask: Mask, label: str) -> SampleRegion:
    return SampleRegion(box_xyxy=box_of(mask), mask=encode_mask(mask), label=label)


def scene_sample(
    scene: Scene,
    split: str,
    kind: str,
    regions: list[tuple[Mask, str]],
    rounds: list[tuple[tuple[Part, ...], tuple[Part, ...]]],
) -> RegionSample:
    """Make a conversation about a scene.

    Args:
        scene: What it is about.
        split: Where its image is.
        kind: Makes the id, beside the number of the scene.
        regions: That are pointed at, with a label each.
        rounds: Questions and answers.
    """
    turns = []
    for question, answer in rounds:
        turns += [RegionTurn(role="user", parts=question), RegionTurn(role="assistant", parts=answer)]
    return RegionSample(
        dataset=DATASET,
        split=split,
        sample_id=f"{scene.number}/{kind}",
        file=scene_file(scene, split),
        size=(scene.image.shape[0], scene.image.shape[1]),
        regions=tuple(_region(mask, label) for mask, label in regions),
        turns=tuple(turns),
    )
