"""Weights of a backbone from a local file: torchvision's ResNets, transformers' ResNets and Swins.

Safetensors only: a ``.pth`` file is a pickle and has to be converted first. Nothing is fetched.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.errors import DataError

_BY_HAND = (
    'Convert it once by `python -c "from sys import argv; from torch import load; '
    "from safetensors.torch import save_file; given = load(argv[1], map_location='cpu', weights_only=True); "
    "given = given.get('model', given.get('state_dict', given)); "
    'save_file({{name: value.clone().contiguous() for name, value in given.items()}}, argv[2])" '
    "{file} {converted}`, then name {converted}."
)
_ZOO = "detectron2's model zoo has such files: docs/detectron2.md says how a ResNet of it is converted."
_MEANINGLESS = "num_batches_tracked"
"""Counters of batch norms, which nothing reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWeights:
    """What became of a file of weights."""

    matched: int
    """Weights of the backbone that were taken over."""
    missing: tuple[str, ...]
    """Weights of the backbone that the file does not have; they keep their random values."""
    unused: tuple[str, ...]
    """Weights of the file that the backbone does not have: those of a classifier, usually."""

    def __str__(self) -> str:
        return (
            f"backbone: {self.matched} weights taken over; missing {_some(self.missing)}; "
            f"unused {_some(self.unused)}"
        )


def load_backbone(backbone: nn.Module, path: Path) -> LoadedWeights:
    """Copy the weights of a file into a backbone, by name; a prefix that all names share is left out.

    Args:
        backbone: Changed in place, only if the file fits.
        path: A safetensors file.

    Raises:
        DataError: If it cannot be read, no name fits, or a fitting weight has another shape or is no number.
    """
    given = _read(path)
    wanted = {name: value for name, value in backbone.state_dict().items() if not name.endswith(_MEANINGLESS)}
    prefix = _prefix(given, wanted)
    renamed = {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}
    common = sorted(wanted.keys() & renamed.keys())
    if not common:
        raise DataError(
            f"no name fits: it has {_some(tuple(given))}, the backbone has {_some(tuple(wanted))}.",
            obj=str(path),
            hint="Name the weights of the backbone that the recipe asks for.",
        )
    for name in common:
        _check(name, renamed[name], wanted[name], path)
    with torch.no_grad():
        for name in common:
            wanted[name].copy_(renamed[name])
    unused = [name for name in given if name.removeprefix(prefix) not in wanted]
    return LoadedWeights(
        matched=len(common),
        missing=tuple(sorted(wanted.keys() - renamed.keys())),
        unused=tuple(sorted(name for name in unused if not name.endswith(_MEANINGLESS))),
    )


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        raise DataError("is no safetensors file; pickles are not opened.", obj=str(path), hint=_convert(path))
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"cannot be read ({error}).", obj=str(path), hint="Fetch or convert it again."
        ) from error


def _convert(path: Path) -> str:
    """Return the command that turns a pickle into a safetensors file beside it."""
    if path.suffix == ".pkl":
        return _ZOO
    file, converted = (quote(str(name)) for name in (path, path.with_suffix(".safetensors")))
    return _BY_HAND.format(file=file, converted=converted)


def _prefix(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> str:
    """Find what stands before the names of the backbone in most names of the file."""
    votes: Counter[str] = Counter()
    for name in given:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in wanted:
                votes["".join(f"{part}." for part in parts[:start])] += 1
                break
    return votes.most_common(1)[0][0] if votes else ""


def _check(name: str, given: Tensor, wanted: Tensor, path: Path) -> None:
    if given.shape != wanted.shape:
        raise DataError(
            f"{name} has shape {tuple(given.shape)}, the backbone needs {tuple(wanted.shape)}.",
            obj=str(path),
            hint="Name the weights of the backbone that the recipe asks for.",
        )
    if given.is_floating_point() and not given.isfinite().all():
        raise DataError(f"{name} holds NaN or infinity.", obj=str(path), hint="Fetch it again.")


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:5])
    return f"{len(names)} ({shown}{', ...' if len(names) > 5 else ''})"
