"""Where the numbers of a PyTorch file lie: a zip of one pickle and raw storages. Nothing of it is run.

What comes out are names, shapes and places in the file. No tensor is made.

Source: the container that ``torch.save`` writes since PyTorch 1.6, https://pytorch.org/docs/stable/notes/serialization.html.
"""

import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from tasks.data.state_pickle import TensorMark, read_state, refused

MAX_PICKLE: Final = 1 << 25
"""Most bytes of the pickle; that of a model with 700 weights has about 100,000."""

_ITEM_BYTES: Final = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "int32": 4}
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file, by place."""

    dtype: str
    """Such as ``float16``."""
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    """In items, per axis."""
    start: int
    """Byte of the file at which its first item lies."""

    @property
    def item_bytes(self) -> int:
        """Bytes of one item."""
        return _ITEM_BYTES[self.dtype]

    @property
    def extent(self) -> int:
        """Items from its first to its last, those between them that are not its own included."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))

    def fits(self, size: int) -> bool:
        """Return whether it is a tensor at all, and lies in a file of so many bytes."""
        numbers = [*self.shape, *self.stride, self.start]
        return (
            type(self.dtype) is str
            and self.dtype in _ITEM_BYTES
            and len(self.shape) == len(self.stride)
            and all(type(number) is int and number >= 0 for number in numbers)
            and math.prod(self.shape) <= self.extent
            and self.start + self.extent * self.item_bytes <= size
        )


def index_archive(stream: BinaryIO, *, source: str) -> dict[str, StoredTensor]:
    """Find the tensors of a state dict that ``torch.save`` wrote.

    Args:
        stream: The file; its checksums are compared.
        source: What to name in an error.

    Returns:
        Places by name, in the order of the file.

    Raises:
        IntegrityError: If it is no such file, is damaged, or asks for anything but tensors.
    """
    size = stream.seek(0, 2)
    try:
        with zipfile.ZipFile(stream) as archive:
            entries, folder = _entries(archive)
            content = _pickle(archive, entries, folder)
            views = read_state(content, source=source)
            starts = {key: _start(stream, entries, f"{folder}data/{key}", size) for key in _keys(views)}
            tensors = _located(views, starts, entries, folder, size)
            for key, start in starts.items():
                _check_sum(stream, entries[f"{folder}data/{key}"], start)
            return tensors
    except _Broken as error:
        raise refused(source, f"{error}.") from error
    except (
        zipfile.BadZipFile,
        OSError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise refused(
            source, f"is not a whole zip as PyTorch writes it since 1.6 ({str(error)[:200]})."
        ) from error


class _Broken(Exception):
    """What is wrong with a file."""


def _entries(archive: zipfile.ZipFile) -> tuple[dict[str, zipfile.ZipInfo], str]:
    """Return the files of the zip by name, and the folder in which they lie."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        if entry.filename in entries:
            raise _Broken(f"holds {entry.filename!r} twice")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise _Broken(f"holds {entry.filename!r} compressed or encrypted, as PyTorch does not")
        entries[entry.filename] = entry
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _Broken(f"holds {len(pickles)} files FOLDER/data.pkl, not 1")
    return entries, pickles[0].removesuffix("data.pkl")


def _pickle(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], folder: str) -> bytes:
    order = entries.get(f"{folder}byteorder")
    if order is not None and (order.file_size > len(b"little") or archive.read(order) != b"little"):
        raise _Broken("was written on a machine with another order of bytes")
    entry = entries[f"{folder}data.pkl"]
    if entry.file_size > MAX_PICKLE:
        raise _Broken(f"has a pickle of {entry.file_size} bytes, more than {MAX_PICKLE}")
    return archive.read(entry)


def _keys(views: Mapping[str, TensorMark]) -> list[str]:
    return list(dict.fromkeys(view.storage.key for view in views.values()))


def _start(stream: BinaryIO, entries: Mapping[str, zipfile.ZipInfo], name: str, size: int) -> int:
    """Return the byte at which a file of the zip begins."""
    if name not in entries:
        raise _Broken(f"lacks {name!r}, which its pickle names")
    stream.seek(entries[name].header_offset)
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
    start = entries[name].header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if signature != b"PK\x03\x04" or start + entries[name].file_size > size:
        raise _Broken(f"is cut off in {name!r}")
    return int(start)


def _located(
    views: Mapping[str, TensorMark],
    starts: Mapping[str, int],
    entries: Mapping[str, zipfile.ZipInfo],
    folder: str,
    size: int,
) -> dict[str, StoredTensor]:
    """Turn offsets in storages to places in the file, none of them outside its storage."""
    tensors: dict[str, StoredTensor] = {}
    for name, view in views.items():
        storage = view.storage
        item = _ITEM_BYTES[storage.dtype]
        tensor = StoredTensor(
            storage.dtype, view.shape, view.stride, starts[storage.key] + max(view.offset, 0) * item
        )
        inside = view.offset >= 0 and tensor.fits(size) and view.offset + tensor.extent <= storage.items
        if not inside or storage.items * item > entries[f"{folder}data/{storage.key}"].file_size:
            raise _Broken(f"holds {name!r}, shape {str(view.shape)[:80]}, which reaches beyond its storage")
        tensors[name] = tensor
    held = sum(tensor.extent * tensor.item_bytes for tensor in tensors.values())
    if held > 2 * size:  # weights that are tied are one storage under two names
        raise _Broken(f"has {size} bytes, but its tensors would have {held}")
    return tensors


def _check_sum(stream: BinaryIO, entry: zipfile.ZipInfo, start: int) -> None:
    stream.seek(start)
    left, found = entry.file_size, 0
    while left:
        block = stream.read(min(left, _BLOCK))
        if not block:
            raise _Broken(f"is cut off in {entry.filename!r}")
        found, left = zlib.crc32(block, found), left - len(block)
    if found != entry.CRC:
        raise _Broken(f"is damaged: {entry.filename!r} is not what its checksum says")


def to_document(tensors: Mapping[str, StoredTensor]) -> list[list[Any]]:
    """Return places as values of JSON."""
    return [
        [name, tensor.dtype, tensor.shape, tensor.stride, tensor.start] for name, tensor in tensors.items()
    ]
