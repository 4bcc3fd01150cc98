"""The pickle of a state dict is data: tensors are found, everything else is named and not run."""

import builtins
import collections
import os
import pickle
import zipfile

import pytest
import torch

from tasks.data.state_pickle import StorageMark, TensorMark, read_state
from tasks.errors import IntegrityError


def pickled(state, path, protocol=2) -> bytes:
    torch.save(state, path, pickle_protocol=protocol)
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_are_described(tmp_path, protocol):
    table = torch.zeros(4, 6)
    state = collections.OrderedDict(a=table[1:3], b=table.T, c=torch.nn.Parameter(torch.zeros(5).half()))
    state._metadata = {"": {"version": 1}}
    found = read_state(pickled(state, tmp_path / "x.bin", protocol), source="x.bin")
    assert found == {
        "a": TensorMark(StorageMark("float32", "0", 24), 6, (2, 6), (6, 1)),
        "b": TensorMark(StorageMark("float32", "0", 24), 0, (6, 4), (1, 6)),
        "c": TensorMark(StorageMark("float16", "1", 5), 0, (5,), (1,)),
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bfloat16", torch.bfloat16),
        ("float64", torch.float64),
        ("int64", torch.int64),
        ("int32", torch.int32),
    ],
)
def test_types(tmp_path, name, kind):
    found = read_state(pickled({"x": torch.zeros(2, dtype=kind)}, tmp_path / "x.bin"), source="x.bin")
    assert found["x"].storage.dtype == name


class Attack:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.system, eval, builtins.open])
def test_code_is_named_and_not_run(tmp_path, function, protocol):
    mark = tmp_path / "ran"
    text = f"touch {mark}" if function is os.system else f"__import__('os').mkdir({str(mark)!r})"
    content = pickle.dumps({"weight": Attack(function, text)}, protocol)
    with pytest.raises(IntegrityError, match=r"holds the global [a-z_]+\.") as caught:
        read_state(content, source="x.bin")
    assert f"{function.__name__} at byte" in caught.value.message
    assert "Nothing in it was run" in caught.value.hint
    assert not mark.exists()


def binary(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts)


STORAGE = b"ctorch\nFloatStorage\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has a malformed pickle, at byte 0: cut off."),
        (b"\x80\x02}", "has a malformed pickle, at byte 3: cut off."),
        (binary(b"]."), "holds no state dict."),
        (binary(b"}X\x01\x00\x00\x00eK\x03s."), "holds 'e', which is no tensor, in its state dict."),
        (binary(STORAGE, b"."), "holds no state dict."),
        (binary(b"ctorch\nload\n."), "holds the global torch.load at byte 2 of its pickle"),
        (binary(b"\x8c\x02os\x8c\x06system\x93."), "holds the global os.system at byte 14"),
        (binary(b"K\x01Q."), "at byte 4: a storage is not described as PyTorch does."),
        (
            binary(
                b"(X\x07\x00\x00\x00storage", b"ccollections\nOrderedDict\n",
                b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ.",
            ),
            "a storage is not described as PyTorch does.",
        ),
        (binary(REBUILD, b")R."), "a call of torch._utils._rebuild_tensor_v2 with arguments of another kind"),
        (binary(STORAGE, b")R."), "a call of torch.FloatStorage with arguments of another kind"),
        (binary(b"ccollections\nOrderedDict\n", b"K\x01\x85R."), "a call of collections.OrderedDict with"),
        (binary(b"K\x01)R."), "a call of int with arguments of another kind"),
        (binary(b"}}X\x01\x00\x00\x00aK\x01sb."), "holds the instruction BUILD on what is no state dict"),
        (binary(b"]}b."), "holds the instruction BUILD on what is no state dict"),
        (binary(b")\x81."), "holds the instruction NEWOBJ at byte 3"),
        (binary(b"\x93."), "has a malformed pickle, at byte 2"),
        (binary(b"R."), "has a malformed pickle, at byte 2: the stack is empty."),
    ],
)  # fmt: skip
def test_what_is_no_state_dict_is_refused(content, message):
    with pytest.raises(IntegrityError) as caught:
        read_state(content, source="x.bin")
    assert message in caught.value.message
    assert caught.value.obj == "x.bin"


def test_an_object_of_a_class_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match=r"holds the global torch\.nn\.modules\.linear\.Linear"):
        read_state(pickled(torch.nn.Linear(1, 1), tmp_path / "x.bin"), source="x.bin")
