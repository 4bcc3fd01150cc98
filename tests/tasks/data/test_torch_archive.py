"""Places of tensors in a file, and files that lie about them."""

import io
import struct
import zipfile

import pytest
import torch

from tasks.data.torch_archive import MAX_PICKLE, StoredTensor, index_archive, to_document
from tasks.errors import IntegrityError


def saved(state) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def index(content: bytes):
    return index_archive(io.BytesIO(content), source="x.bin")


def rewritten(content: bytes, change, *, compression=zipfile.ZIP_STORED) -> bytes:
    """Write the zip again, with other bytes for some of its files; None leaves one out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for name in old.namelist():
            part = change(name, old.read(name))
            if part is not None:
                new.writestr(name, part)
    return stream.getvalue()


def test_every_value_lies_where_it_is_said():
    table = torch.arange(24.0).reshape(4, 6)
    state = {
        "rows": table[1:3], "turned": table.T, "half": torch.randn(5).half(),
        "empty": torch.zeros(0, 3), "one": torch.tensor(2.5), "brain": torch.randn(2, 2).bfloat16(),
    }  # fmt: skip
    content = saved(state)
    found = index(content)
    assert list(found) == list(state)
    for name, value in state.items():
        place = found[name]
        raw = bytearray(content[place.start : place.start + place.extent * place.item_bytes])
        items = torch.frombuffer(raw, dtype=value.dtype) if raw else torch.zeros(0)
        assert torch.equal(items.as_strided(place.shape, place.stride), value)
    assert to_document(found)[0] == ["rows", "float32", (2, 6), (6, 1), found["rows"].start]


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off(cut):
    content = saved({"x": torch.randn(100)})
    with pytest.raises(IntegrityError, match="is not a whole zip as PyTorch writes it"):
        index(content[: int(len(content) * cut)])


def test_a_flipped_bit_is_seen():
    content = saved({"x": torch.randn(100)})
    place = index(content)["x"]
    damaged = bytearray(content)
    damaged[place.start + 7] ^= 1
    with pytest.raises(IntegrityError, match=r"is damaged: '.*data/0' is not what its checksum says"):
        index(bytes(damaged))


def test_files_of_other_kinds():
    with pytest.raises(IntegrityError, match="is not a whole zip"):
        index(b"\x80\x02}q\x00.")
    stream = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, stream, _use_new_zipfile_serialization=False)
    with pytest.raises(IntegrityError, match=r"since 1\.6"):
        index(stream.getvalue())
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(IntegrityError, match=r"holds 0 files FOLDER/data\.pkl, not 1"):
        index(stream.getvalue())


def test_a_compressed_file_is_refused():
    content = rewritten(saved({"x": torch.zeros(9)}), lambda _, part: part, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(IntegrityError, match="compressed or encrypted"):
        index(content)


def test_two_files_of_one_name():
    stream = io.BytesIO(saved({"x": torch.zeros(9)}))
    with zipfile.ZipFile(stream, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(name, b"\x80\x02}.")
    with pytest.raises(IntegrityError, match="twice"):
        index(stream.getvalue())


def test_a_storage_that_is_not_there():
    content = rewritten(
        saved({"x": torch.zeros(9)}), lambda name, part: None if name.endswith("/0") else part
    )
    with pytest.raises(IntegrityError, match=r"lacks '.*data/0', which its pickle names"):
        index(content)


def test_another_order_of_bytes():
    content = rewritten(
        saved({"x": torch.zeros(9)}), lambda name, part: b"big" if name.endswith("byteorder") else part
    )
    with pytest.raises(IntegrityError, match="another order of bytes"):
        index(content)


def test_a_pickle_beyond_measure():
    content = rewritten(
        saved({}), lambda name, part: bytes(MAX_PICKLE + 1) if name.endswith("data.pkl") else part
    )
    with pytest.raises(IntegrityError, match=f"a pickle of {MAX_PICKLE + 1} bytes, more than {MAX_PICKLE}"):
        index(content)


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ((10**12,), (1,), 0),
        ((10**12,), (0,), 0),
        ((3, 3), (1, 1), 0),
        ((4,), (1,), 6),
        ((4,), (1,), -1),
        ((-4,), (1,), 0),
        ((4,), (-1,), 0),
        ((4,), (), 0),
        (("a",), (1,), 0),
        ((True,), (1,), 0),
    ],
)
def test_a_tensor_beyond_its_storage(shape, stride, offset):
    """A huge shape costs a file nothing to say; nothing of that size is ever made."""

    class Lie:
        def __reduce__(self):
            storage = torch.storage.TypedStorage(9, dtype=torch.float32, _internal=True)
            return torch._utils._rebuild_tensor_v2, (storage, offset, shape, stride, False, {})

    with pytest.raises(IntegrityError, match=r"holds 'x', shape .* which reaches beyond its storage"):
        index(saved({"x": Lie()}))


def test_many_tensors_of_one_storage():
    table = torch.zeros(1000)
    assert len(index(saved({"x": table, "tied": table}))) == 2
    with pytest.raises(IntegrityError, match="bytes, but its tensors would have 40000"):
        index(saved({str(number): table for number in range(10)}))


def test_a_storage_said_to_be_longer_than_its_file():
    def change(name: str, part: bytes) -> bytes:
        return part[:8] if name.endswith("data/0") else part

    with pytest.raises(IntegrityError, match="reaches beyond its storage"):
        index(rewritten(saved({"x": torch.zeros(9)}), change))


def test_a_header_that_is_no_header():
    content = bytearray(saved({"x": torch.zeros(9)}))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith("data/0"))
    content[entry.header_offset : entry.header_offset + 4] = b"xxxx"
    with pytest.raises(IntegrityError, match="is cut off in"):
        index(bytes(content))
    content[entry.header_offset : entry.header_offset + 4] = b"PK\x03\x04"
    content[entry.header_offset + 28 : entry.header_offset + 30] = struct.pack("<H", 65535)
    with pytest.raises(IntegrityError, match="is cut off in"):
        index(bytes(content))


def test_what_fits():
    good = StoredTensor("float16", (2, 3), (3, 1), 4)
    assert good.fits(16)
    assert not good.fits(15)
    assert not StoredTensor("int8", (2,), (1,), 0).fits(16)
    assert not StoredTensor(["float16"], (2,), (1,), 0).fits(16)
