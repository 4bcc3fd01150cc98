"""CLIP from a local directory, as ``save_pretrained`` of transformers writes it and the hub hands it out.

Safetensors only: a ``.bin`` file is a pickle and is not opened. No code beside the weights is run. What is
read is hashed, and every weight must be there and a number: transformers fills what is absent with noise.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.segmentation.mask_clip import DEVIATION, MEAN
from tasks.data.commit import Manifest, hash_file
from tasks.data.strict_json import read_json
from tasks.errors import DataError

CLIP_SCHEMA = "groundwork.clip_weights/1"
PATTERNS = (
    "config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
)
"""Files that are read; there are no others."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_FETCH = "Name a directory that holds config.json, model.safetensors and the files of the tokenizer."
_REVISION = "Of a name on the hub, take a revision that has it: owner/name@revision."
_CONVERT = (
    'Convert it once: `python -c "from transformers import CLIPModel; '
    "CLIPModel.from_pretrained('{folder}', weights_only=True).save_pretrained('{folder}')\"`."
)
_LEGACY_END = 2  # of sentences; old configurations say so, whatever the tokenizer has


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFiles:
    """What is in a directory, before anything is loaded."""

    folder: Path
    manifest: Manifest
    """Of the files that are read."""
    patch: int
    """Side of a patch, in pixels."""
    image_size: int
    """Side of the images that it was trained on, in pixels."""
    mean: tuple[float, ...]
    """Of each colour in [0, 1]."""
    deviation: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Say what it is; no path of this machine."""
        return {
            "sha256": self.manifest.sha256,
            "files": {name: sha256 for name, (sha256, _) in self.manifest.files.items()},
            "patch": self.patch,
            "image_size": self.image_size,
            "mean": list(self.mean),
            "deviation": list(self.deviation),
        }


@dataclass(frozen=True, slots=True)
class Clip:
    """Loaded, in evaluation mode, float32."""

    model: Any
    """``CLIPModel``."""
    tokenizer: Any
    """``CLIPTokenizer``."""

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """Return ``input_ids`` and ``attention_mask``.

        Raises:
            DataError: If a text is longer than the model reads.
        """
        tokens = dict(self.tokenizer(texts, padding=True, return_tensors="pt"))
        limit = int(self.model.config.text_config.max_position_embeddings)
        lengths = tokens["attention_mask"].sum(dim=1)
        if int(lengths.max()) > limit:
            raise DataError(
                f"has {int(lengths.max())} tokens, the model reads {limit}.",
                obj=repr(texts[int(lengths.argmax())][:80]),
                hint="Say it in fewer words.",
            )
        return tokens


def inspect_clip(folder: Path) -> ClipFiles:
    """Hash the files of a CLIP and read its configuration.

    Raises:
        DataError: If a file is absent, or it is another model than CLIP.
    """
    names = sorted({path.name for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file()})
    if "config.json" not in names:
        raise DataError("holds no config.json.", obj=str(folder), hint=_FETCH)
    if not any(name.endswith(".safetensors") for name in names):
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        if pickles:
            raise DataError(
                f"holds no safetensors file; {pickles[0]} is a pickle, which is not opened.",
                obj=str(folder),
                hint=_CONVERT.format(folder=folder),
            )
        raise DataError("holds no safetensors file.", obj=str(folder), hint=f"{_FETCH} {_REVISION}")
    if "tokenizer.json" not in names and not {"vocab.json", "merges.txt"} <= set(names):
        raise DataError(
            "holds no tokenizer: neither tokenizer.json nor vocab.json with merges.txt.",
            obj=str(folder),
            hint=_FETCH,
        )
    patch, image_size = _check_config(folder / "config.json")
    mean, deviation = _colours(folder)
    files = {name: (hash_file(folder / name), (folder / name).stat().st_size) for name in names}
    return ClipFiles(
        folder=folder,
        manifest=Manifest(schema=CLIP_SCHEMA, files=files),
        patch=patch,
        image_size=image_size,
        mean=mean,
        deviation=deviation,
    )


def load_clip(files: ClipFiles) -> Clip:
    """Load model and tokenizer.

    Raises:
        DataError: If they do not load whole, do not fit each other, or a weight is no number.
    """
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    obj = str(files.folder)
    model: Any
    found: Any
    try:
        model, found = CLIPModel.from_pretrained(  # type: ignore[misc]
            files.folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
        tokenizer = CLIPTokenizer.from_pretrained(files.folder, local_files_only=True)
    except MemoryError:  # says nothing of the files
        raise
    except Exception as error:  # transformers raises what its parsers raise
        cause = " ".join(str(error).split())[:300]
        raise DataError(
            f"does not load as CLIP ({type(error).__name__}: {cause}).", obj=obj, hint="Fetch it again."
        ) from error
    lost = sorted([*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])])
    if lost:
        raise DataError(
            f"{len(lost)} weights of the model are absent or of another shape: {', '.join(lost[:3])}.",
            obj=obj,
            hint="Fetch it again: with noise in their place its labels would mean nothing.",
        )
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{name} holds NaN or infinity.", obj=obj, hint="Fetch it again.")
    _check_tokenizer(model.config.text_config, tokenizer, obj)
    return Clip(model.eval(), tokenizer)


def _check_config(path: Path) -> tuple[int, int]:
    """Return side of a patch and of an image."""
    document = read_json(path)
    kind = document.get("model_type") if isinstance(document, dict) else None
    if kind != "clip":
        raise DataError(
            f"describes a model of type {kind!r}, not 'clip'.",
            obj=str(path),
            hint="Name a CLIP with a vision transformer in the form of transformers.",
        )
    from transformers import CLIPConfig

    try:
        vision: Any = CLIPConfig.from_dict(document).vision_config
        return int(vision.patch_size), int(vision.image_size)
    except Exception as error:
        raise DataError(
            f"is no configuration of CLIP ({type(error).__name__}: {error}).",
            obj=str(path),
            hint="Fetch it again.",
        ) from error


def _colours(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read mean and deviation; where no file says them, they are those of the authors of CLIP."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        if not (folder / name).exists():
            continue
        document = read_json(folder / name)
        part = document.get("image_processor", document) if isinstance(document, dict) else {}
        found = [part.get("image_mean", list(MEAN)), part.get("image_std", list(DEVIATION))]
        numbers = [
            isinstance(row, list) and len(row) == 3 and all(type(item) in (int, float) for item in row)
            for row in found
        ]
        if not all(numbers) or min(found[1]) <= 0:
            raise DataError(
                f"image_mean and image_std must be three numbers each, the latter above 0, got "
                f"{json.dumps(found)[:120]}.",
                obj=str(folder / name),
                hint="Fetch it again.",
            )
        return tuple(found[0]), tuple(found[1])
    return MEAN, DEVIATION


def _check_tokenizer(config: Any, tokenizer: Any, obj: str) -> None:  # noqa: ANN401 - transformers has no types
    """Refuse a tokenizer of another model: its numbers would be read as other words, in silence."""
    end = int(tokenizer.eos_token_id)
    right_end = (
        end == len(tokenizer) - 1 if config.eos_token_id == _LEGACY_END else end == config.eos_token_id
    )
    if len(tokenizer) > config.vocab_size or not right_end:
        raise DataError(
            f"the tokenizer has {len(tokenizer)} tokens and ends a text with number {end}, the model "
            f"knows {config.vocab_size} and looks for number {config.eos_token_id}.",
            obj=obj,
            hint="Fetch model and tokenizer from one place.",
        )
