"""``groundwork data import-regions``: files of regions that others published become a committed directory.

Conversations are taken as they are. Of facts - categories, captions, expressions - questions are made: the
same seed gives the same ones.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from tasks.data.commit import commit_directory, hash_file, telling_of_disks
from tasks.data.region_directory import REGION_SAMPLES_SCHEMA, SAMPLES, SUMMARY, count_samples
from tasks.data.region_facts import RegionFacts
from tasks.data.region_records import RegionSample
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
    limit: int | None = None
    """Images or conversations that are taken, the first ones; None: all."""

    def __post_init__(self) -> None:
        """Refuse numbers that ask nothing. Raises UsageError."""
        for option, value in (("--most", self.most), ("--limit", self.limit), ("--seed", self.seed + 1)):
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
    if wanted.ask and not found.facts:
        raise UsageError(
            "these files have questions of their own.", obj="--ask", hint="Leave it out: they are taken."
        )
    facts = [image for image in found.facts if image.regions][: wanted.limit]
    asks = wanted.ask or _usual(facts)
    questions = ASK_DETAIL if found.detailed else ASK_SHORT
    asked = [sample for ask in asks for sample in _ask(ask, facts, wanted, questions)]
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


def _ask(
    ask: Ask, facts: Sequence[RegionFacts], wanted: RegionImport, questions: Sequence[str]
) -> list[RegionSample]:
    seed, most = wanted.seed, wanted.most
    try:
        match ask:
            case "describe":
                samples = describe_samples(facts, seed=seed, most=most, questions=questions)
            case "name":
                samples = describe_samples(facts, seed=seed, most=most, say="label", questions=ASK_NAME)
            case "exists":
                samples = exists_samples(facts, seed=seed, most=most, negative=wanted.negative)
            case "choose":
                samples = choose_samples(facts, seed=seed, most=most)
    except ValueError as error:
        raise DataError(str(error), obj=f"--ask {ask}", hint=_HINT) from error
    if not samples:
        lacks = "category" if ask in ("name", "exists") else "phrase of its own"
        raise DataError(f"no region has a {lacks}.", obj=f"--ask {ask}", hint=_HINT)
    return samples


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
