"""``groundwork convert``: a published checkpoint becomes a directory of ours, or says why it does not."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from models.blocks.stored_values import to_stored
from models.region_lm.config import ModelSettings
from models.region_lm.hub import RegionMLLM
from models.region_lm.processing import RegionProcessor, new_processor
from models.region_lm.published_names import CHECKPOINTS, Rules
from models.region_lm.published_settings import (
    Contradiction,
    contradictions,
    encoder_contradictions,
    language_of,
)
from models.region_lm.published_tokenizer import load_published_tokenizer
from models.region_lm.published_weights import ENCODERS, NamePlan, fill, outline, place_names, wanted_shapes
from models.vision.clip_vit import ClipVision
from models.vision.convnext import ConvNextVision
from tasks.data.commit import commit_directory, hash_file
from tasks.data.published_files import (
    WeightFile,
    check_finite,
    check_floating,
    check_present,
    find_index,
    find_weights,
)
from tasks.data.strict_json import read_json
from tasks.data.target_directory import check_target
from tasks.errors import DataError, UsageError
from tasks.operations.region_files import read_region_recipe

REGION_MODEL_SCHEMA: Final = "groundwork.region-model/1"
System = Literal["osprey", "tokenpacker", "llava"]
DTYPES: Final = ("float32", "bfloat16", "float16")
_SHARD: Final = "2GB"
_EMBEDDING: Final = "language.model.embed_tokens.weight"
_TOKENIZER_MAPS: Final = ("added_tokens.json", "special_tokens_map.json")
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", *_TOKENIZER_MAPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertRequest:
    """What was asked for."""

    system: System
    """Whose names the checkpoint has."""
    folder: Path
    """As published: ``config.json``, weights, tokenizer."""
    out: Path | None
    """Directory to commit; None: names are compared and nothing is written."""
    recipe: str | None = None
    """Of the model around the language model; None: the one that is called like the system."""
    changes: tuple[str, ...] = ()
    """``key=value`` of the recipe."""
    vision: Path | None = None
    """Weights of the encoder, where the checkpoint leaves them out: a folder or a file."""
    tokenizer: Path | None = None
    """Folder of the tokenizer; None: that of the checkpoint."""
    dtype: str | None = None
    """Of every weight; None: that of the embeddings."""
    sandbox: bool = False
    """Whether pickles are looked into, by a process of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Files of one origin, and the place of each of their names."""

    name: Literal["checkpoint", "vision"]
    path: Path
    files: list[WeightFile]
    plan: NamePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vocabulary:
    """The tokenizer before and after placeholders were added."""

    processor: RegionProcessor
    known: int
    """Tokens of the checkpoint's tokenizer."""
    added: tuple[str, ...]
    """Placeholders that it did not have."""


def convert_checkpoint(
    request: ConvertRequest, repository: Path, *, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Convert a checkpoint, all of it or none.

    Args:
        request: What was asked for.
        repository: Root of the project.
        say: Told what is going on.

    Returns:
        ``from``, ``recipe``, ``out``, ``sha256`` of the manifest, ``matched``, ``dtype``, ``cast``, ``added``
        placeholders, ``missing`` names of ours, and of each origin ``unmatched`` and ``computed`` names.

    Raises:
        UsageError: If the directory is not ours to replace, or there is no such recipe.
        DataError: If the checkpoint contradicts the recipe, or a weight is missing, misshapen or no float.
        IntegrityError: If a file is damaged, or a pickle without ``sandbox``.
    """
    _check(request)
    name = request.recipe or request.system
    recipe = read_region_recipe(name, request.changes, repository)
    place = request.folder / "config.json"
    language = _language(place, recipe.model)
    vocabulary = _vocabulary(request, recipe.model)
    rows = language.vocab_size  # as published; the outline adds those of placeholders
    with _of(place, "Name the tokenizer that the checkpoint was trained with by --tokenizer."):
        model = outline(vocabulary.processor, language)
    wanted = wanted_shapes(model, rows)
    sources = _sources(request, model, wanted)
    missing = sorted(set(wanted) - {ours for source in sources for ours in source.plan.places.values()})
    summary = {
        "from": request.system,
        "recipe": name,
        "matched": sum(len(source.plan.places) for source in sources),
        "added": list(vocabulary.added),
        "missing": missing,
        "unmatched": {source.name: list(source.plan.unmatched) for source in sources},
        "computed": {source.name: list(source.plan.computed) for source in sources},
    }
    if request.out is None:
        return {**summary, "out": None}
    _complete(missing, request)
    dtype = request.dtype or _dtype_of_embeddings(sources)
    state, cast = _read(sources, getattr(torch, dtype), say)
    ids = vocabulary.processor.placeholder_ids
    fill(model, state, known=vocabulary.known, new=[ids[token] for token in vocabulary.added])
    summary |= {"dtype": dtype, "cast": cast}
    say(f"writing {request.out}")
    manifest = commit_directory(
        request.out,
        lambda folder: _write(folder, model, vocabulary.processor),
        schema=REGION_MODEL_SCHEMA,
        provenance={**summary, "model": to_stored(recipe.model), "sources": _hashes(request, sources)},
    )
    return {**summary, "out": str(request.out), "sha256": manifest.sha256}


def _check(request: ConvertRequest) -> None:
    if request.out is not None:
        check_target(request.out, schema=REGION_MODEL_SCHEMA)
    if request.dtype is not None and request.dtype not in DTYPES:
        raise UsageError(f"is none of {', '.join(DTYPES)}.", obj=request.dtype, hint="Name one of them.")
    check_present({"": request.folder, "--vision": request.vision, "--tokenizer": request.tokenizer})


def _language(place: Path, settings: ModelSettings) -> PreTrainedConfig:
    """Read the language model's shape, after comparing the rest with the recipe."""
    document = _mapping(place)
    with _of(place, "Name a checkpoint of LLaVA, TokenPacker or Osprey."):
        language = language_of(document)
        found = contradictions(document, settings)
    _agree(found, place, "the recipe", "Add --set {change}, or name another --recipe.")
    return language


def _vocabulary(request: ConvertRequest, settings: ModelSettings) -> _Vocabulary:
    folder = request.tokenizer or request.folder
    hint = "Name a folder with tokenizer.json by --tokenizer, or `pip install 'groundwork[convert]'`."
    with _of(folder, hint):
        tokenizer = load_published_tokenizer(folder, settings.placeholders)
        before = tokenizer.get_vocab()
        processor = new_processor(tokenizer, settings)
    added = tuple(token for token in settings.placeholders if token not in before)
    return _Vocabulary(processor=processor, known=len(before), added=added)


def _sources(request: ConvertRequest, model: RegionMLLM, wanted: dict[str, tuple[int, ...]]) -> list[_Source]:
    """Place the names of the checkpoint and of the encoder."""
    rules = CHECKPOINTS[request.system]
    sources = [_source("checkpoint", request.folder, rules, wanted, sandbox=request.sandbox)]
    if request.vision is None:
        return sources
    if any(ours.startswith("vision.") for ours in sources[0].plan.places.values()):
        raise UsageError(
            "is not needed: the checkpoint has weights of its encoder.",
            obj=str(request.vision),
            hint="Leave out --vision.",
        )
    place = request.vision / "config.json"
    if place.is_file() and isinstance(model.vision, ClipVision | ConvNextVision):
        found = encoder_contradictions(_mapping(place), model.vision.model.config)
        _agree(found, place, "the encoder that the recipe builds", "Name the encoder of the paper.")
    parts = {name: shape for name, shape in wanted.items() if name.startswith("vision.")}
    return [*sources, _source("vision", request.vision, ENCODERS, parts, sandbox=request.sandbox)]


def _source(
    name: Literal["checkpoint", "vision"],
    path: Path,
    rules: Rules,
    wanted: dict[str, tuple[int, ...]],
    *,
    sandbox: bool,
) -> _Source:
    files = find_weights(path, sandbox=sandbox)
    shapes = {weight: shape for file in files for weight, shape in file.shapes.items()}
    with _of(path, "Name the recipe that the checkpoint was trained with, or change it by --set."):
        plan = place_names(shapes, rules, wanted)
    check_floating(files, plan.places)
    return _Source(name=name, path=path, files=files, plan=plan)


def _complete(missing: Sequence[str], request: ConvertRequest) -> None:
    """Refuse a model of which a part would be random."""
    if not missing:
        return
    shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    if all(name.startswith("vision.") for name in missing) and request.vision is None:
        hint = (
            "The encoder is published apart: name its folder or file by --vision (CLIP or ConvNeXt of "
            "transformers, or OpenCLIP's)."
        )
    else:
        hint = "Leave out --out to see every name of both sides; name the right --from and --recipe."
    raise DataError(
        f"has no value for {len(missing)} parameters: {shown}; none is left random.",
        obj=str(request.folder),
        hint=hint,
    )


def _read(
    sources: Sequence[_Source], dtype: torch.dtype, say: Callable[[str], None]
) -> tuple[dict[str, Tensor], int]:
    """Read weights by our name; returns how many were of another type, too."""
    state: dict[str, Tensor] = {}
    cast = 0
    for source in sources:
        for file in source.files:
            say(f"reading {file.path.name}")
            for name, value in file.read(source.plan.places):
                converted = value.to(dtype)
                check_finite(name, value, file.path)
                if not converted.isfinite().all():
                    hint = "Add --dtype float32 or bfloat16."
                    raise DataError(f"{name!r} does not fit in {dtype}.", obj=str(file.path), hint=hint)
                state[source.plan.places[name]] = converted
                cast += value.dtype != dtype
    return state, cast


def _dtype_of_embeddings(sources: Sequence[_Source]) -> str:
    source = sources[0]
    theirs = next(name for name, ours in source.plan.places.items() if ours == _EMBEDDING)
    found = next(file.dtypes[theirs] for file in source.files if theirs in file.dtypes)
    return found if found in DTYPES else DTYPES[0]


def _write(folder: Path, model: RegionMLLM, processor: RegionProcessor) -> None:
    model.save_pretrained(folder, max_shard_size=_SHARD)
    processor.save_pretrained(folder)


def _hashes(request: ConvertRequest, sources: Sequence[_Source]) -> dict[str, str]:
    paths = {f"tokenizer/{name}": (request.tokenizer or request.folder) / name for name in _TOKENIZER_FILES}
    for source in sources:
        read = (source.path / "config.json", find_index(source.path), *(file.path for file in source.files))
        paths |= {f"{source.name}/{path.name}": path for path in read if path is not None}
    return {name: hash_file(path) for name, path in paths.items() if path.is_file()}


def _mapping(path: Path) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError("is no JSON object.", obj=str(path), hint="Fetch the checkpoint again.")
    return document


def _agree(found: Sequence[Contradiction], path: Path, whose: str, hint: str) -> None:
    if found:
        raise DataError(
            f"says {found[0].key}: {found[0].said!r}, but {whose} has {found[0].have!r}.",
            obj=str(path),
            hint=hint.format(change=" --set ".join(one.change for one in found)),
        )


@contextmanager
def _of(path: Path, hint: str) -> Iterator[None]:
    """Say of what file a value was refused."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise DataError(str(error), obj=str(path), hint=hint) from error
