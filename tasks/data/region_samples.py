"""Questions about regions, made of facts: what is this, is this a cup, which one is meant.

Source: Yuan et al., "Osprey" (arXiv 2312.10032), Section 4. The questions are ours, and so is the answer
that chooses a region. The same seed and epoch give the same samples whatever other images there are, but
for whether an odd region is asked for what it is or for what it is not: that keeps yes and no in balance.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np

from tasks.data.region_facts import FactRegion, RegionFacts, labels_of
from tasks.data.region_records import Part, RegionMark, RegionSample, RegionTurn

Negative: TypeAlias = Literal["nearest", "random", "similar"]
"""What a region is not: of the category of the nearest other object, of any other, or of one alike."""

_HERE: Final = "<region>"
ASK_NAME: Final = (
    "What is <region>? Answer with its category.",
    "Name the category of <region>.",
    "Which kind of thing is <region>? Give the category only.",
)
ASK_SHORT: Final = (
    "Describe <region> in a few words.",
    "Say briefly what <region> shows.",
    "Give a short phrase for <region>.",
)
ASK_DETAIL: Final = (
    "Describe <region> in detail.",
    "Tell me everything that can be seen of <region>.",
    "Write a thorough description of <region>.",
    "Look closely at <region> and explain what you see there.",
)
ASK_EXISTS: Final = ("Is <region> a {}?", "Does <region> show a {}?", "Is there a {} in <region>?")
ASK_CHOICE: Final = ("Which region is meant: ", "Which of the regions is this: ")
SHORT_ANSWER: Final = " Answer in a single word or a short phrase."
"""What is added to a question whose answer is short."""


def describe_samples(
    facts: Iterable[RegionFacts],
    *,
    seed: int,
    epoch: int = 0,
    say: Literal["label", "text"] = "text",
    questions: Sequence[str] = ASK_SHORT,
    most: int = 20,
) -> list[RegionSample]:
    """Ask of each region what it is; one conversation an image, one region a question.

    Args:
        facts: Of images.
        seed: Decides order, texts and questions.
        epoch: Another one draws anew.
        say: Whether the category answers, or one of the texts, drawn at random.
        questions: Each with one ``<region>``.
        most: Regions of an image that are asked about, drawn at random.

    Returns:
        Samples in the order of the images; an image without such a region has none.

    Raises:
        ValueError: If there is no question, or one has not exactly one ``<region>``.
    """
    _check_questions(questions)
    samples = []
    for image in facts:
        generator = _generator(image, seed, epoch)
        known = [fact for fact in image.regions if (fact.region.label if say == "label" else fact.texts)]
        kept = [known[place] for place in generator.permutation(len(known))[:most]]
        turns: list[RegionTurn] = []
        for index, fact in enumerate(kept):
            answers = (fact.region.label or "",) if say == "label" else fact.texts
            turns += _round(_ask(_drawn(questions, generator), index), _drawn(answers, generator))
        if kept:
            samples.append(_sample(image, f"describe-{say}", kept, turns))
    return samples


def exists_samples(
    facts: Sequence[RegionFacts],
    *,
    seed: int,
    epoch: int = 0,
    negative: Negative = "nearest",
    categories: Sequence[str] | None = None,
    similar: Mapping[str, Sequence[str]] | None = None,
    most: int = 20,
) -> list[RegionSample]:
    """Ask whether a region is of a category: half of the answers of all images are yes, give or take one.

    What is yes is drawn over all images, so the earlier answers of a conversation do not tell the later ones.

    Args:
        facts: Of images whose regions have categories; regions without one are left out.
        seed: Decides order, categories and questions.
        epoch: Another one draws anew.
        negative: What a region is not; where an image has no object of another category, and where nothing
            is like the category, any other one.
        categories: To draw from; None: all that occur.
        similar: For ``"similar"``: category -> categories that are like it, e.g. the eight nearest sentence
            embeddings.
        most: Regions of an image that are asked about, drawn at random.

    Returns:
        Samples in the order of the images, one question a region.

    Raises:
        ValueError: If there are not two categories, or similar ones are asked for and not given.
    """
    names = tuple(labels_of(facts) if categories is None else categories)
    if len(set(names)) < 2:
        raise ValueError(f"at least 2 categories are needed to say no, got {list(names)}.")
    if (negative == "similar") != (similar is not None):
        raise ValueError("similar must be given for negative='similar', and for nothing else.")
    known_in = [[fact for fact in image.regions if fact.region.label is not None] for image in facts]
    num_asked = sum(min(len(known), most) for known in known_in)
    # Halved over all images: where each image has as many yes as no, earlier answers tell the later ones.
    truths = iter(np.random.default_rng([seed, epoch]).permutation(num_asked) < (num_asked + 1) // 2)
    samples = []
    for image, known in zip(facts, known_in, strict=True):
        generator = _generator(image, seed, epoch)
        kept = [known[place] for place in generator.permutation(len(known))[:most]]
        turns: list[RegionTurn] = []
        for index, fact in enumerate(kept):
            own, is_yes = fact.region.label or "", next(truths)
            likes = (similar or {}).get(own, ())
            label = (
                own
                if is_yes
                else _other(fact, known if negative == "nearest" else [], likes, names, generator)
            )
            turns += _round(_ask(_drawn(ASK_EXISTS, generator), index, label), "Yes." if is_yes else "No.")
        if kept:
            samples.append(_sample(image, f"exists-{negative}", kept, turns))
    return samples


def choose_samples(
    facts: Iterable[RegionFacts], *, seed: int, epoch: int = 0, most: int = 10
) -> list[RegionSample]:
    """Ask which region an expression means; the answer cites it.

    Args:
        facts: Of images.
        seed: Decides order, expressions and questions.
        epoch: Another one draws anew.
        most: Regions of an image to choose among, drawn at random.

    Returns:
        One sample an image that has two regions, one of them with a text of its own; others have none.
    """
    samples = []
    for image in facts:
        generator = _generator(image, seed, epoch)
        kept = [image.regions[place] for place in generator.permutation(len(image.regions))[:most]]
        told = [text for fact in kept for text in fact.texts]
        turns: list[RegionTurn] = []
        for index, fact in enumerate(kept):
            texts = [text for text in fact.texts if told.count(text) == 1]
            if texts and len(kept) > 1:
                question = _drawn(ASK_CHOICE, generator), _drawn(texts, generator)
                turns += [
                    RegionTurn(role="user", parts=question),
                    RegionTurn(role="assistant", parts=(RegionMark(index),)),
                ]
        if turns:
            samples.append(_sample(image, "choose", kept, turns))
    return samples


def _other(
    fact: FactRegion,
    neighbours: Sequence[FactRegion],
    likes: Sequence[str],
    names: Sequence[str],
    generator: np.random.Generator,
) -> str:
    """Return a category that a region is not of."""
    own = fact.region.label
    others = [near for near in neighbours if near.region.label != own]
    if others:
        x, y = _centre(fact)
        distances = [(there[0] - x) ** 2 + (there[1] - y) ** 2 for there in map(_centre, others)]
        return others[int(np.argmin(distances))].region.label or ""
    choices = [name for name in likes if name != own] or [name for name in names if name != own]
    return _drawn(choices, generator)


def _drawn(choices: Sequence[str], generator: np.random.Generator) -> str:
    return choices[int(generator.integers(len(choices)))]


def _centre(fact: FactRegion) -> tuple[float, float]:
    left, top, right, bottom = fact.region.box()
    return (left + right) / 2, (top + bottom) / 2


def _generator(image: RegionFacts, seed: int, epoch: int) -> np.random.Generator:
    name = f"{image.dataset}/{image.split}/{image.image_id}"
    return np.random.default_rng([seed, epoch, zlib.crc32(name.encode())])


def _check_questions(questions: Sequence[str]) -> None:
    wrong = [question for question in questions if question.count(_HERE) != 1]
    if wrong or not questions:
        shown = repr(wrong[0]) if wrong else "no question"
        raise ValueError(f"a question must hold one {_HERE}, got {shown}.")


def _ask(question: str, index: int, label: str = "") -> tuple[Part, ...]:
    before, _, after = question.partition(_HERE)
    parts: tuple[Part, ...] = before.replace("{}", label), RegionMark(index), after.replace("{}", label)
    return tuple(part for part in parts if part)


def _round(question: tuple[Part, ...], answer: str) -> tuple[RegionTurn, RegionTurn]:
    return RegionTurn(role="user", parts=question), RegionTurn(role="assistant", parts=(answer,))


def _sample(
    image: RegionFacts, kind: str, kept: Sequence[FactRegion], turns: Sequence[RegionTurn]
) -> RegionSample:
    return RegionSample(
        dataset=image.dataset,
        split=image.split,
        sample_id=f"{image.image_id}/{kind}",
        file=image.file,
        size=image.size,
        regions=tuple(fact.region for fact in kept),
        turns=tuple(turns),
    )
