"""What a stage begins with: a committed model, trained parts put together, or random weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.blocks.stored_values import to_stored
from models.region_lm.assembly import new_region_mllm
from models.region_lm.build import Vision, build_vision, chat_template
from models.region_lm.config import LanguageSettings, ModelSettings
from models.region_lm.hub import RegionMLLM
from models.region_lm.language_model import load_language_model
from models.region_lm.new_vocabulary import train_vocabulary
from models.region_lm.processing import RegionProcessor, new_processor
from models.region_lm.published_settings import encoder_contradictions
from models.region_lm.published_tokenizer import load_published_tokenizer
from models.region_lm.published_weights import ENCODERS, place_names
from models.region_lm.recipes import RegionRecipe
from models.vision.dual import DualVision
from tasks.data.commit import hash_file
from tasks.data.published_files import (
    WeightFile,
    check_finite,
    check_floating,
    check_present,
    find_weights,
)
from tasks.data.region_mix import MixSample
from tasks.data.strict_json import read_json
from tasks.errors import DataError, UsageError
from tasks.operations.changes import name_changes
from tasks.operations.region_model_files import check_region_model, read_region_processor
from tasks.operations.tune_request import TuneRequest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beginning:
    """A model before its stage."""

    model: RegionMLLM
    processor: RegionProcessor
    dtype: torch.dtype
    """In which it is stored, before and after."""
    inputs: dict[str, Any]
    """Hashes of what it was made from, as JSON values."""


def begin_model(
    request: TuneRequest, recipe: RegionRecipe, samples: Iterable[MixSample], *, seed: int
) -> Beginning:
    """Load or build the model that a stage begins with; in every process the same.

    Args:
        request: Says from what.
        recipe: Whose model it must be.
        samples: A vocabulary is trained on their texts if no tokenizer is named.
        seed: Decides random weights.

    Raises:
        UsageError: If a committed model has other settings than the recipe.
        DataError: If parts are not there, do not fit together, are quantised or not finite.
        IntegrityError: If a committed model or a file of weights is damaged.
    """
    check_present({
        "--from": request.parent, "--language": request.language, "--vision": request.vision,
        "--tokenizer": request.tokenizer,
    })  # fmt: skip
    if request.parent is not None:
        return _committed(request.parent, recipe)
    processor = _processor(request, recipe, samples)
    folder = request.language or request.tokenizer or _recipe(request)
    hint = "Name the tokenizer of the language model by --tokenizer, or `--set language.vocabulary=...`."
    with torch.random.fork_rng(devices=[]), _of(folder, hint):
        torch.manual_seed(seed)
        vision = None if request.vision is None else _encoder(request.vision, recipe.model, request)
        language = recipe.language if request.language is None else _language(request.language)
        model = new_region_mllm(processor, language, vision)
    return Beginning(
        model=model,
        processor=processor,
        dtype=torch.float32 if isinstance(language, LanguageSettings) else language.dtype,
        inputs={
            "language": to_stored(recipe.language) if request.language is None else _hashes(request.language),
            "vision": None if request.vision is None else _hashes(request.vision),
            "tokenizer": None if request.tokenizer is None else _hashes(request.tokenizer),
        },
    )


def _committed(folder: Path, recipe: RegionRecipe) -> Beginning:
    sha256 = check_region_model(folder)
    processor = read_region_processor(folder)
    have, wanted = to_stored(processor.settings), to_stored(recipe.model)
    if have != wanted:
        key, found, said = _difference(have, wanted)
        raise UsageError(
            f"was made with {key} {found!r}, the recipe has {said!r}.",
            obj=str(folder),
            hint=f"Name the recipe that it was made with, or say `--set {key}={_yaml(found)}`.",
        )
    with _of(folder, "Make it again."):
        model = RegionMLLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return Beginning(model=model, processor=processor, dtype=model.dtype, inputs={"parent_sha256": sha256})


def _processor(request: TuneRequest, recipe: RegionRecipe, samples: Iterable[MixSample]) -> RegionProcessor:
    folder = request.tokenizer or request.language
    hint = "" if folder else "Say another `--set language.vocabulary=...`. "
    with _of(folder or _recipe(request), f"{hint}Name a folder with tokenizer.json by --tokenizer."):
        tokenizer: PreTrainedTokenizerBase
        if folder is None:
            texts = (
                part
                for mixed in samples
                for turn in mixed.sample.turns
                for part in turn.parts
                if isinstance(part, str)
            )
            template = chat_template(recipe.model)
            tokenizer = train_vocabulary(texts, recipe.language.vocabulary, template)
        else:
            tokenizer = load_published_tokenizer(folder, recipe.model.placeholders)
        return new_processor(tokenizer, recipe.model)


def _language(folder: Path) -> PreTrainedModel:
    files = _safetensors(folder)
    with _of(folder, "Name a folder that transformers saved, with config.json and safetensors."):
        language = load_language_model(folder)
    for name, value in language.named_parameters():
        check_finite(name, value, next((file.path for file in files if name in file.shapes), folder))
    return language


def _safetensors(folder: Path) -> list[WeightFile]:
    """Look into the files of a language model before transformers, which reads whole numbers as floats."""
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        return []  # transformers says what is missing
    files = find_weights(folder, sandbox=False)
    shapes = {name: shape for file in files for name, shape in file.shapes.items()}
    # What ends otherwise is no weight: older files hold masks and numbers of positions.
    weights = {name for name, shape in shapes.items() if name.endswith("weight") or len(shape) == 1}
    check_floating(files, weights)
    return files


def _encoder(path: Path, settings: ModelSettings, request: TuneRequest) -> Vision:
    """Read a trained encoder, as it is published alone, of the shape that the recipe says."""
    vision = build_vision(settings.vision)
    place = path / "config.json"
    hint = "Name the encoder of the paper, or change the recipe by --set."
    if place.is_file() and not isinstance(vision, DualVision):
        with _of(place, hint):
            found = encoder_contradictions(_mapping(place), vision.model.config)
        if found:
            raise DataError(
                f"says {found[0].key}: {found[0].said!r}, but the recipe has {found[0].have!r}.",
                obj=str(place),
                hint=hint,
            )
    wanted = {f"vision.{name}": tuple(value.shape) for name, value in vision.state_dict().items()}
    files = find_weights(path, sandbox=request.sandbox)
    with _of(path, hint):
        plan = place_names(
            {name: shape for file in files for name, shape in file.shapes.items()}, ENCODERS, wanted
        )
    if missing := sorted(wanted.keys() - set(plan.places.values())):
        raise DataError(
            f"has no value for {len(missing)} weights of the encoder, such as {missing[0]}.",
            obj=str(path),
            hint=hint,
        )
    check_floating(files, plan.places)
    state = {}
    for file in files:
        for name, value in file.read(plan.places):
            check_finite(name, value, file.path)
            state[plan.places[name].removeprefix("vision.")] = value
    vision.load_state_dict(state)
    return vision


def _mapping(path: Path) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError("is no JSON object.", obj=str(path), hint="Fetch the checkpoint again.")
    return document


def _hashes(path: Path | None) -> dict[str, str]:
    """Hash a file, or what a model or tokenizer consists of in a folder."""
    if path is None or path.is_file():
        return {} if path is None else {path.name: hash_file(path)}
    kinds = (".json", ".safetensors", ".bin", ".model")
    return {file.name: hash_file(file) for file in sorted(path.iterdir()) if file.suffix in kinds}


def _difference(have: Any, wanted: Any, key: str = "model") -> tuple[str, Any, Any]:  # noqa: ANN401 - JSON
    """Return the first place at which two values differ, and what stands there in each."""
    if isinstance(have, dict) and isinstance(wanted, dict):
        for name in have:
            if have[name] != wanted[name]:
                return _difference(have[name], wanted[name], f"{key}.{name}")
    return key, have, wanted


def _recipe(request: TuneRequest) -> str:
    """Name a recipe with what was changed in its language model."""
    changed = [change for change in request.changes if change.startswith("language.")]
    return f"{request.recipe} {name_changes(changed)}".strip()


def _yaml(value: Any) -> str:  # noqa: ANN401 - JSON
    """Write a value as a shell and YAML read it, for a hint."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"'{value}'" if isinstance(value, (dict, list)) else str(value)


@contextmanager
def _of(path: Path | str, hint: str) -> Iterator[None]:
    """Say of what file or folder a value was refused."""
    try:
        yield
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise DataError(str(error), obj=str(path), hint=hint) from error
