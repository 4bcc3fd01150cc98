"""One run of the benchmark: what all systems start from, one of them trained, and what it answers.

Each finished part is a file in a cache; a file is used again while everything that decides it, but the code,
is the same.
"""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.region_mllm_batches import encode_questions, encode_training, shuffled
from benchmarks.region_mllm_encoder import teach
from benchmarks.region_mllm_language import compared_right, new_language, new_tokenizer, read
from benchmarks.region_mllm_parts import PartSettings
from benchmarks.region_mllm_scores import Counts, count
from benchmarks.region_mllm_systems import (
    SYSTEMS,
    KeptFeatures,
    System,
    answers,
    match_words,
    new_system,
    recipe_of,
    train,
)
from benchmarks.region_mllm_world import (
    EXISTS,
    TOPICS,
    Asked,
    Split,
    Topic,
    conversations,
    draw_split,
    held_out,
    sentences,
    verdict,
)
from models.region_lm.batches import RegionBatch
from models.region_lm.build import Vision, build_vision
from models.region_lm.processing import new_processor
from tasks.data.shapes_world import Crowding

Taught = TypeVar("Taught", bound=nn.Module)
_WORD_SCENES = 400
"""Scenes that the vocabulary is made from: more than enough for every word."""
_TEACHING = PartSettings(steps=1000, per_step=16, learning_rate=1e-2, warmup=30, average=0.0)
_READING = PartSettings(steps=1000, per_step=192, learning_rate=4e-3, warmup=50, average=0.98)
_CROWDINGS: tuple[Crowding, ...] = ("apart", "overlapping")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    train: int = 2400
    """Scenes of each world that is learned from."""
    asked: int = 150
    """Scenes of each world that is asked about."""
    seed: int = 0
    """Of the worlds that are learned from."""
    asked_seeds: tuple[int, int] = (4, 5)
    """Of the worlds that are asked about, for each of ``TOPICS``."""
    teaching: PartSettings = _TEACHING
    """Of the encoder."""
    reading: PartSettings = _READING
    """Of the language model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process works."""

    cache: Path
    """A file for each finished part."""
    images: Path
    """Where the worlds are."""


class Lessons(NamedTuple):
    """What a system learns and is asked."""

    samples: list[RegionBatch]
    asked: list[Asked]
    questions: list[RegionBatch]


@cache
def learned_world(folder: Path, size: Size, crowding: Crowding) -> Split:
    """Draw what is learned from."""
    return draw_split(folder, f"train-{crowding}", seed=size.seed, count=size.train, crowding=crowding)


@cache
def asked_world(folder: Path, size: Size, crowding: Crowding, topic: Topic) -> Split:
    """Draw what is asked about."""
    seed, name = size.asked_seeds[TOPICS.index(topic)], f"asked-{topic}-{crowding}"
    return draw_split(folder, name, seed=seed, count=size.asked, crowding=crowding)


@cache
def vocabulary(folder: Path, size: Size) -> PreTrainedTokenizerFast:
    """Train the tokenizer of all systems on what some conversations say."""
    said: set[str] = set()
    for crowding in _CROWDINGS:
        name, number = f"words-{crowding}", min(size.train, _WORD_SCENES)
        some = draw_split(folder, name, seed=size.seed, count=number, crowding=crowding)
        for topic in TOPICS:
            for epoch in range(3):
                epochs = conversations(some, topic, seed=0, epoch=epoch)
                said |= sentences(sample for samples in epochs for sample in samples)
    return new_tokenizer(said)


def taught_encoder(size: Size, place: Place, *, seed: int) -> tuple[Vision, dict[str, float]]:
    """Return the encoder of all systems of a seed: from the cache, or taught and put there."""
    settings = recipe_of(SYSTEMS["osprey"]).model.vision
    encoder = build_vision(settings)
    key = [seed, size.train, size.seed, asdict(size.teaching), asdict(settings)]

    def make() -> tuple[nn.Module, dict[str, float]]:
        splits = [learned_world(place.images, size, crowding) for crowding in _CROWDINGS]
        return teach(
            settings,
            size.teaching,
            [scene for split in splits for scene in split.scenes],
            seed=seed,
        )

    path = place.cache / f"encoder-{_hash(key)}.safetensors"
    return _kept_weights(path, encoder.eval().requires_grad_(False), make)


def taught_language(size: Size, place: Place, *, seed: int) -> tuple[PreTrainedModel, dict[str, float]]:
    """Return the language model of all systems of a seed: from the cache, or taught and put there."""
    tokenizer = vocabulary(place.images, size)
    settings = recipe_of(SYSTEMS["osprey"]).language
    language = new_language(settings, len(tokenizer), seed=seed)
    key = [seed, asdict(size.reading), asdict(settings), sorted(tokenizer.get_vocab().items())]

    def make() -> tuple[nn.Module, dict[str, float]]:
        cost = read(language, tokenizer, size.reading, seed=seed)
        return language, {**cost, "compared_right": round(compared_right(language, tokenizer, seed=seed), 4)}

    path = place.cache / f"language-{_hash(key)}.safetensors"
    return _kept_weights(path, language, make)


def _kept_weights(
    path: Path, empty: Taught, make: Callable[[], tuple[nn.Module, dict[str, float]]]
) -> tuple[Taught, dict[str, float]]:
    """Fill a module with weights from a file, made if it is not there, beside what is known of them."""
    note = path.with_suffix(".json")
    if not note.exists():
        made, cost = make()
        save_file(
            {name: value.detach().clone().contiguous() for name, value in made.state_dict().items()}, path
        )
        note.write_text(json.dumps(cost) + "\n", encoding="utf-8")
    empty.load_state_dict(load_file(path))
    cost = json.loads(note.read_text(encoding="utf-8"))
    return empty, cost


def _hash(key: object) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def finished(name: str, seed: int, size: Size, place: Place) -> dict[str, Any]:
    """Return a finished system: from the cache, or trained and put there."""
    torch.set_num_threads(1)
    place = _own(place)
    system = SYSTEMS[name]
    key = [name, seed, asdict(system), asdict(size)]
    path = place.cache / f"{name}-{seed}-{_hash(key)}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    encoder, teaching = taught_encoder(size, place, seed=seed)
    language, reading = taught_language(size, place, seed=seed)
    document = {
        "system": name,
        "seed": seed,
        "encoder": teaching,
        "language": reading,
        **run(system, size, place, encoder, language, seed=seed),
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document) + "\n", encoding="utf-8")
    part.rename(path)
    return document


@cache
def lessons(folder: Path, size: Size, system: System) -> Lessons:
    """Encode what a system learns and is asked; seeds and projectors share it."""
    taught = learned_world(folder, size, system.crowding)
    held = asked_world(folder, size, system.crowding, system.topic)
    processor = new_processor(copy.deepcopy(vocabulary(folder, size)), recipe_of(system).model)
    epochs = [conversations(taught, system.topic, seed=0, epoch=epoch) for epoch in range(system.epochs)]
    asked = held_out(held, system.topic)
    return Lessons(
        encode_training(processor, taught, epochs, system.shown),
        asked,
        encode_questions(processor, held, asked, system.shown),
    )


def run(
    system: System, size: Size, place: Place, encoder: Vision, language: PreTrainedModel, *, seed: int
) -> dict[str, Any]:
    """Train one system and ask it, beside the untrained one and with shuffled images and regions."""
    start = time.process_time()
    learnt = lessons(place.images, size, replace(system, changes=_without_projector(system)))
    kept = KeptFeatures(encoder, learned_world(place.images, size, system.crowding))
    kept_asked = KeptFeatures(encoder, asked_world(place.images, size, system.crowding, system.topic))
    preparing = round(time.process_time() - start, 1)
    processor, model = new_system(system, vocabulary(place.images, size), encoder, language, seed=seed)
    if system.topic == "images":
        match_words(model, kept)

    def counted(batches: Sequence[RegionBatch]) -> Counts:
        said = answers(model, processor, kept_asked, batches)
        said = [
            verdict(text) if item.kind in EXISTS else text
            for item, text in zip(learnt.asked, said, strict=True)
        ]
        return count(learnt.asked, said, size.asked)

    weights = sum(weight.numel() for weight in model.parameters())
    untrained = counted(learnt.questions)
    cost = train(model, recipe_of(system), kept, learnt.samples, seed=seed)
    return {
        "weights": weights,
        "tokens_of_an_image": model.projector.num_tokens,
        "preparing_seconds": preparing,
        "training": cost,
        "untrained": untrained,
        "trained": counted(learnt.questions),
        "shuffled": counted(shuffled(learnt.questions, seed=0)),
    }


def _without_projector(system: System) -> tuple[str, ...]:
    return tuple(change for change in system.changes if not change.startswith("model.projector"))


def teach_part(part: Literal["encoder", "language"], size: Size, place: Place, *, seed: int) -> None:
    """Put one of the parts that the systems of a seed start from into the cache."""
    torch.set_num_threads(1)
    own = _own(place)
    if part == "encoder":
        taught_encoder(size, own, seed=seed)
    else:
        taught_language(size, own, seed=seed)


def _own(place: Place) -> Place:
    """Give a process a folder of its own, so that none reads an image that another one is writing."""
    return Place(cache=place.cache, images=place.images / str(os.getpid()))
