"""Weights are found, looked into and read; what is missing, doubled, damaged or a pickle is said."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tasks.data.published_files import (
    check_finite,
    check_floating,
    check_present,
    find_index,
    find_weights,
)
from tasks.errors import DataError, IntegrityError
from tests.models.region_lm.published import write_weights

STATE = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.randn(4, generator=torch.Generator().manual_seed(0)).half(),
    "c": torch.zeros(0, 2),
    "d": torch.ones(1, dtype=torch.int8),
    "e": torch.ones(2, dtype=torch.bfloat16),
}


def floats(form):
    return {name: value for name, value in STATE.items() if form == "safetensors" or name != "d"}


@pytest.mark.parametrize(("form", "parts"), [("safetensors", 1), ("safetensors", 3), ("bin", 1), ("bin", 2)])
def test_what_is_written_is_read(tmp_path, form, parts):
    state = floats(form)
    write_weights(state, tmp_path, form=form, parts=parts)
    files = find_weights(tmp_path, sandbox=True)
    assert len(files) == parts
    shapes = {name: shape for file in files for name, shape in file.shapes.items()}
    assert shapes == {name: tuple(value.shape) for name, value in state.items()}
    dtypes = {name: kind for file in files for name, kind in file.dtypes.items()}
    assert {dtypes[name] for name in "abe"} == {"float32", "float16", "bfloat16"}
    read = {name: value for file in files for name, value in file.read(state)}
    assert all(torch.equal(read[name], value) for name, value in state.items())
    assert [name for file in files for name, _ in file.read({"b"})] == ["b"]


def test_a_view_becomes_a_tensor_of_its_own(tmp_path):
    table = torch.arange(24.0).reshape(4, 6)
    torch.save({"turned": table.T, "rows": table[1:3]}, tmp_path / "x.bin")
    (file,) = find_weights(tmp_path / "x.bin", sandbox=True)
    read = dict(file.read({"turned", "rows"}))
    assert torch.equal(read["turned"], table.T)
    assert torch.equal(read["rows"], table[1:3])
    assert read["turned"].is_contiguous()
    read["rows"].zero_()
    assert torch.equal(dict(file.read({"rows"}))["rows"], table[1:3])


def test_a_pickle_is_not_opened_unless_asked(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(IntegrityError, match="is a pickle, which may hold a program") as caught:
        find_weights(tmp_path, sandbox=False)
    assert "--sandbox" in caught.value.hint
    assert caught.value.exit_code == 5
    save_file({"a": STATE["a"]}, tmp_path / "model.safetensors")
    assert find_weights(tmp_path, sandbox=False)[0].path.name == "model.safetensors"


def test_a_file_that_changed_is_not_read(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "x.bin")
    (file,) = find_weights(tmp_path / "x.bin", sandbox=True)
    (tmp_path / "x.bin").write_bytes(b"short")
    with pytest.raises(IntegrityError, match="changed while it was read"):
        list(file.read({"a"}))


@pytest.mark.parametrize("content", [b"PK\x03\x04 and more", b"\x80\x02}q\x00.", b"\x80\x04}."])
def test_a_pickle_under_another_name(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="is a pickle under another name; nothing of it was read"):
        find_weights(tmp_path, sandbox=True)


def test_damaged_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": STATE["a"]}, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(IntegrityError, match="is damaged"):
        find_weights(tmp_path, sandbox=False)


def test_a_folder_without_weights_and_a_file_of_another_kind(tmp_path):
    with pytest.raises(DataError, match=r"has none of model\.safetensors\.index\.json, model\.safetensors"):
        find_weights(tmp_path, sandbox=False)
    (tmp_path / "x.h5").write_bytes(b"")
    with pytest.raises(DataError, match="is no file of weights"):
        find_weights(tmp_path / "x.h5", sandbox=False)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "../model.safetensors"}, "names '../model.safetensors', which is no file beside it"),
        ({"a": "absent.safetensors"}, "names 'absent.safetensors', which is no file beside it"),
        ({}, "has no weight_map"),
        ([], "has no weight_map"),
        ({"a": 3}, "has no weight_map"),
        ({"a": "1.safetensors", "z": "1.safetensors"}, "lacks 1 weights that its index names, such as 'z'"),
        ({"a": "1.safetensors", "b": "2.safetensors"}, "holds 'a', which is in 1.safetensors, too"),
    ],
)
def test_an_index_that_is_wrong(tmp_path, weight_map, message):
    save_file({"a": STATE["a"]}, tmp_path / "1.safetensors")
    save_file({"a": STATE["a"], "b": STATE["b"]}, tmp_path / "2.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(DataError) as caught:
        find_weights(tmp_path, sandbox=False)
    assert message in caught.value.message


def test_what_is_named_and_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none: no such file or folder\. Correct the path"):
        find_weights(tmp_path / "none", sandbox=False)
    check_present({"": tmp_path, "--vision": None})
    with pytest.raises(DataError, match="no such file or folder") as caught:
        check_present({"": tmp_path, "--vision": tmp_path / "none"})
    assert caught.value.obj == f"--vision {tmp_path / 'none'}"


def test_the_index_is_the_one_that_is_read(tmp_path):
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text("{}")
    assert find_index(tmp_path) == index
    save_file({"a": STATE["a"]}, tmp_path / "model.safetensors")
    assert find_index(tmp_path) is None
    assert find_index(tmp_path / "model.safetensors") is None


def test_weights_are_floating_and_finite(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    files = find_weights(path, sandbox=False)
    check_floating(files, {"a", "b", "e"})
    with pytest.raises(DataError, match=r"model\.safetensors: holds 'd' as I8: it is quantised"):
        check_floating(files, STATE)
    check_finite("a", STATE["a"], path)
    for value in (float("nan"), float("-inf")):
        with pytest.raises(DataError, match=r"model\.safetensors: 'a' holds NaN or infinity"):
            check_finite("a", torch.tensor([1.0, value]), path)
