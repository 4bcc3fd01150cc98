"""``groundwork data import-regions``: files of regions that others published become a committed directory.

Conversations are taken as they are. Of facts - categories, captions, expressions - questions are made: the
same seed gives the same ones. They are drawn here and not by the training, which reads the same ones in every
epoch; with several draws an epoch shows each image as often, and asks anew.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypedDict

from tasks.data.commit import commit_directory, hash_file, telling_of_disks
from tasks.data.region_directory import REGION_SAMPLES_SCHEMA, SAMPLES, SUMMARY, count_samples
from tasks.data.region_facts import FactRegion, RegionFacts
from tasks.data.region_records import MAX_REGIONS, RegionSample
from tasks.data.region_sample_files import dump_samples
from tasks.data.region_samples import (
    ASK_DETAIL,
    ASK_NAME,
    ASK_SHORT,
    choose_samples,
    describe_samples,
    exists_samples,
)
from tasks.data.target_directory import check_target
from tasks.errors import DataError, UsageError
from tasks.operations.region_sources import RegionSource, read_source

Ask: TypeAlias = Literal["describe", "name", "exists", "choose"]
ASKS: Final = ("describe", "name", "exists", "choose")
"""A phrase for a region, its category, whether it is of a category, and which one a phrase means."""
_HINT: Final = "Correct the file, or ask for something else with --ask."


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionImport:
    """What to read, and what to ask about it."""

    source: RegionSource
    out: Path
    """Directory to create, or one of this kind to replace."""
    ask: tuple[Ask, ...] = ()
    """Of facts; empty: a phrase where the files have phrases, else the category."""
    negative: Literal["nearest", "random"] = "nearest"
    """exists: what a region is not."""
    seed: int = 0
    """Of what is drawn: order, texts, wording."""
    most: int = 20
    """Regions of an image that are asked about."""
    draws: int = 1
    """How often questions are made of the facts; regions, order, texts and wording are drawn each time."""
    limit: int | None = None
    """Images or conversations that are taken, the first ones; None: all."""

    def __post_init__(self) -> None:
        """Refuse numbers that ask nothing. Raises UsageError."""
        numbers = {"--most": self.most, "--limit": self.limit, "--draws": self.draws, "--seed": self.seed + 1}
        for option, value in numbers.items():
            if value is not None and value < 1:
                raise UsageError(
                    "must not be negative." if option == "--seed" else f"must be at least 1, got {value}.",
                    obj=option,
                    hint="Correct the number.",
                )
        if wrong := [ask for ask in self.ask if ask not in ASKS]:
            raise UsageError(f"is none of {', '.join(ASKS)}: {wrong[0]!r}.", obj="--ask", hint="Name one.")
        if len(set(self.ask)) < len(self.ask):
            raise UsageError(f"repeats: {list(self.ask)}.", obj="--ask", hint="Say each once.")


def import_regions(wanted: RegionImport, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Read files and commit their samples.

    Args:
        wanted: What to read, and what to ask.
        say: Told how far it is.

    Returns:
        What ``regions.json`` says, with the sha256 of the directory's manifest.

    Raises:
        UsageError: If options do not fit the files, or the target holds something else.
        DataError: With file, place and cause, if a file is malformed, or there is nothing to ask about.
        UnavailableError: If a file cannot be written, e.g. because the disk is full.
    """
    check_target(wanted.out, schema=REGION_SAMPLES_SCHEMA)
    source = wanted.source
    say(f"reading {', '.join(map(str, source.files))}")
    found = read_source(source)
    for option, given in (("--ask", bool(wanted.ask)), ("--draws", wanted.draws > 1)):
        if given and not found.facts:
            raise UsageError(
                "these files have questions of their own.", obj=option, hint="Leave it out: they are taken."
            )
    facts = [image for image in found.facts if image.regions][: wanted.limit]
    asks = wanted.ask or _usual(facts)
    questions = ASK_DETAIL if found.detailed else ASK_SHORT
    asked = [
        sample
        for draw in range(wanted.draws)
        for ask in asks
        for sample in _ask(ask, facts, wanted, questions, draw=draw)
    ]
    samples = [*found.samples[: wanted.limit], *asked]
    _check(samples, source)
    about: dict[str, Any] = {
        "form": source.form,
        "dataset": source.name,
        "sources": {f"{place} {path.name}": hash_file(path) for place, path in enumerate(source.files)},
        "ask": list(asks),
        "negative": wanted.negative,
        "seed": wanted.seed,
        "most": wanted.most,
        "draws": wanted.draws,
        "limit": wanted.limit,
    }
    document = {"schema": REGION_SAMPLES_SCHEMA, **about, "counts": count_samples(samples)}

    def write(staging: Path) -> None:
        (staging / SAMPLES).write_bytes(dump_samples(samples))
        (staging / SUMMARY).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    with telling_of_disks(wanted.out):
        manifest = commit_directory(wanted.out, write, schema=REGION_SAMPLES_SCHEMA, provenance=about)
    return document | {"manifest_sha256": manifest.sha256}


def _usual(facts: Sequence[RegionFacts]) -> tuple[Ask, ...]:
    """Return what is asked if nothing is said: for a phrase where there is one, else for the category."""
    if not facts:
        return ()
    return ("describe",) if any(fact.texts for image in facts for fact in image.regions) else ("name",)


class _Draw(TypedDict):
    seed: int
    epoch: int
    most: int


def _ask(
    ask: Ask, facts: Sequence[RegionFacts], wanted: RegionImport, questions: Sequence[str], *, draw: int
) -> list[RegionSample]:
    """Make the questions of one draw, counted from 0; later ones say so at the start of their ids."""
    _check_most(ask, facts, wanted.most)
    drawn = _Draw(seed=wanted.seed, epoch=draw, most=wanted.most)
    try:
        match ask:
            case "describe":
                samples = describe_samples(facts, questions=questions, **drawn)
            case "name":
                samples = describe_samples(facts, say="label", questions=ASK_NAME, **drawn)
            case "exists":
                samples = exists_samples(facts, negative=wanted.negative, **drawn)
            case "choose":
                samples = choose_samples(facts, **drawn)
    except ValueError as error:
        raise DataError(str(error), obj=f"--ask {ask}", hint=_HINT) from error
    if not samples:
        lacks = "category" if ask in ("name", "exists") else "phrase of its own"
        raise DataError(f"no region has a {lacks}.", obj=f"--ask {ask}", hint=_HINT)
    if draw == 0:
        return samples
    return [replace(sample, sample_id=f"draw{draw + 1}/{sample.sample_id}") for sample in samples]


def _check_most(ask: Ask, facts: Sequence[RegionFacts], most: int) -> None:
    """Refuse to ask about more regions of an image than a sample may have."""

    def is_asked(fact: FactRegion) -> bool:
        return ask == "choose" or bool(fact.texts if ask == "describe" else fact.region.label)

    for image in facts if most > MAX_REGIONS else ():
        count = sum(map(is_asked, image.regions))
        if count > MAX_REGIONS:
            raise DataError(
                f"has {count} regions to ask about with --most {most}; a sample may have {MAX_REGIONS}.",
                obj=f"image {image.image_id} ({image.file})",
                hint=f"Say --most {MAX_REGIONS}: so many of them are drawn.",
            )


def _check(samples: list[RegionSample], source: RegionSource) -> None:
    if not samples:
        raise DataError("hold nothing to ask about.", obj=", ".join(map(str, source.files)), hint=_HINT)
    seen: set[tuple[str, str, str]] = set()
    for sample in samples:
        key = sample.dataset, sample.split, sample.sample_id
        if key in seen:
            raise DataError(
                f"sample {'/'.join(key)} is in them twice.",
                obj=", ".join(map(str, source.files)),
                hint="Import each file for itself, with a --dataset of its own.",
            )
        seen.add(key)
