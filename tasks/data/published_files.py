"""Weights of a published checkpoint: one file or many, safetensors or, when asked for, PyTorch's pickles.

Names and shapes are read first. Weights come one at a time, so no more than one is held that nobody wants.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tasks.data.archive_process import index_apart
from tasks.data.strict_json import read_json
from tasks.data.torch_archive import StoredTensor
from tasks.errors import DataError, IntegrityError

_KINDS: Final = (
    ("model.safetensors.index.json", "model.safetensors"),
    ("pytorch_model.bin.index.json", "pytorch_model.bin"),
)
_FLOATS: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """One file, looked into but not read."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    """By name, in the order of the file."""
    dtypes: dict[str, str]
    """By name, such as ``float16``, or what the format calls one that is none of a weight."""
    places: dict[str, StoredTensor] | None
    """Of a PyTorch file."""

    def read(self, names: Container[str]) -> Iterator[tuple[str, Tensor]]:
        """Read those of its weights that are named, one after the other, each in memory of its own.

        Raises:
            IntegrityError: If the file changed since it was looked into.
        """
        if self.places is None:
            with _opened(self.path) as weights:
                for name in self.shapes:
                    if name in names:
                        yield name, weights.get_tensor(name)
            return
        size = self.path.stat().st_size
        if not all(place.fits(size) for place in self.places.values()):
            raise IntegrityError("changed while it was read.", obj=str(self.path), hint="Run it again.")
        content = torch.from_file(str(self.path), shared=False, size=size, dtype=torch.uint8)
        for name, place in self.places.items():
            if name not in names:
                continue
            part = content[place.start : place.start + place.extent * place.item_bytes].clone()
            items = part.view(getattr(torch, place.dtype))
            yield name, items.as_strided(place.shape, place.stride).contiguous()


def find_weights(path: Path, *, sandbox: bool) -> list[WeightFile]:
    """Look into the weights of a folder, or into one file.

    Args:
        path: A folder as transformers writes one, or a file. Safetensors are taken where both kinds are.
        sandbox: Whether pickles are looked into, by a process of their own.

    Returns:
        The files, with no name twice.

    Raises:
        DataError: If there is no such path, there are no weights, a part is missing, or a name stands twice.
        IntegrityError: If a file is damaged, or a pickle and ``sandbox`` was not said.
    """
    paths, named = _paths(path)
    files = [_look_into(part, sandbox=sandbox) for part in paths]
    owner: dict[str, Path] = {}
    for file in files:
        for name in file.shapes:
            if name in owner:
                raise DataError(
                    f"holds {name!r}, which is in {owner[name].name}, too.",
                    obj=str(file.path),
                    hint="Fetch the checkpoint again; parts of two are mixed.",
                )
            owner[name] = file.path
    if absent := sorted(named - owner.keys()):
        raise DataError(
            f"lacks {len(absent)} weights that its index names, such as {absent[0]!r}.",
            obj=str(path),
            hint="Fetch the checkpoint again; a part is another's.",
        )
    return files


def find_index(folder: Path) -> Path | None:
    """Return the list of parts by which ``find_weights`` finds the files of a folder; None: it needs none."""
    for index, single in _KINDS:
        if (folder / index).is_file():
            return folder / index
        if (folder / single).is_file():
            return None
    return None


def check_present(places: Mapping[str, Path | None]) -> None:
    """Refuse what is named and not there.

    Args:
        places: By the option that named it; an argument has none.

    Raises:
        DataError: With the option and the path.
    """
    for option, path in places.items():
        if path is not None and not path.exists():
            raise DataError(
                "no such file or folder.",
                obj=f"{option} {path}".strip(),
                hint="Correct the path; a relative one starts where the command runs.",
            )


def check_floating(files: Sequence[WeightFile], names: Container[str]) -> None:
    """Refuse weights that are stored as anything but floating numbers: read as such they are others.

    Args:
        files: Looked into.
        names: Which of their entries are weights.

    Raises:
        DataError: With the file and the weight.
    """
    for file in files:
        for name, kind in file.dtypes.items():
            if name in names and kind not in _FLOATS.values():
                raise DataError(
                    f"holds {name!r} as {kind}: it is quantised, or no weight.",
                    obj=str(file.path),
                    hint="Fetch the checkpoint with floating weights.",
                )


def check_finite(name: str, value: Tensor, path: Path) -> None:
    """Refuse a weight that holds NaN or infinity.

    Raises:
        DataError: With the file and the weight.
    """
    if not value.isfinite().all():
        raise DataError(f"{name!r} holds NaN or infinity.", obj=str(path), hint="Fetch the checkpoint again.")


def _paths(path: Path) -> tuple[list[Path], set[str]]:
    """Return the files of a checkpoint and the names that its index promises."""
    check_present({"": path})
    if path.is_file():
        return [path], set()
    for index, single in _KINDS:
        if (path / index).is_file():
            return _indexed(path / index)
        if (path / single).is_file():
            return [path / single], set()
    raise DataError(
        f"has none of {', '.join(name for kind in _KINDS for name in kind)}.",
        obj=str(path),
        hint="Name the folder of a checkpoint, or a file of weights.",
    )


def _indexed(index: Path) -> tuple[list[Path], set[str]]:
    document = read_json(index)
    parts = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(parts, dict) or not parts or not all(isinstance(part, str) for part in parts.values()):
        raise DataError(
            "has no weight_map from names to files.", obj=str(index), hint="Fetch the checkpoint again."
        )
    paths = []
    for part in sorted(set(parts.values())):
        if Path(part).name != part or not (index.parent / part).is_file():
            raise DataError(
                f"names {part!r}, which is no file beside it.",
                obj=str(index),
                hint="Fetch the parts that are missing.",
            )
        paths.append(index.parent / part)
    return paths, set(parts)


def _look_into(path: Path, *, sandbox: bool) -> WeightFile:
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix not in _PICKLES:
        raise DataError(
            f"is no file of weights; known are .safetensors, {', '.join(_PICKLES)}.",
            obj=str(path),
            hint="Name the folder of a checkpoint, or a file of weights.",
        )
    if not sandbox:
        raise IntegrityError(
            "is a pickle, which may hold a program; it was not opened.",
            obj=str(path),
            hint="Fetch safetensors of it, or add --sandbox: then its tensors are found by a process "
            "that runs nothing of it.",
        )
    places = index_apart(path)
    return WeightFile(
        path=path,
        shapes={name: place.shape for name, place in places.items()},
        dtypes={name: place.dtype for name, place in places.items()},
        places=places,
    )


def _safetensors(path: Path) -> WeightFile:
    with _opened(path) as weights:
        views = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118 - it is no mapping
        return WeightFile(
            path=path,
            shapes={name: tuple(view.get_shape()) for name, view in views.items()},
            dtypes={name: _FLOATS.get(view.get_dtype(), view.get_dtype()) for name, view in views.items()},
            places=None,
        )


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        with path.open("rb") as stream:
            head = stream.read(4)
        what = (
            "is a pickle under another name"
            if head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05")
            else f"is damaged ({str(error)[:200]})"
        )
        raise IntegrityError(
            f"{what}; nothing of it was read.", obj=str(path), hint="Fetch it again."
        ) from error
