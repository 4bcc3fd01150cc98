import json
import subprocess
import sys

import pytest
import torch

from models.affinity import backends

PROGRAM = """
import importlib, json, os, pathlib, sys
import torch

folder = pathlib.Path(sys.argv[1])
for library, backend, name in (("numba", "cpu", "cpu"), ("triton", "triton", "cuda")):
    assert library not in sys.modules
    if os.fork():
        assert os.wait()[1] == 0
        continue
    sys.modules[library] = None  # Python then says that it can not be imported
    from models.affinity import backends

    device = torch.device(name)
    found = {"problem": backends.problems()[backend], "auto": backends.choose("auto", device)}
    try:
        backends.choose(backend, device)
    except ValueError as error:
        found["refusal"] = str(error)
    for path in sorted(pathlib.Path(backends.__file__).parent.glob("*.py")):
        importlib.import_module("models.affinity." + path.stem)
    (folder / library).write_text(json.dumps(found))
    break
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """What fresh processes say, each without a library; they are forks of one that imported PyTorch alone."""
    folder = tmp_path_factory.mktemp("without")
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_backend_is_judged():
    found = backends.problems()
    assert list(found) == ["reference", "cpu", "torch", "triton"]
    assert found["reference"] is found["cpu"] is found["torch"] is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_backend_without_its_device_says_so():
    assert backends.problems()["triton"] == "PyTorch finds no CUDA device."


def test_automatic_choice():
    assert backends.choose("auto", torch.device("cpu")) == "cpu"
    assert backends.choose("auto", torch.device("cuda", 1)) == "torch"
    assert backends.choose("auto", torch.device("meta")) == "torch"


@pytest.mark.parametrize("name", ["reference", "cpu", "torch"])
def test_what_is_asked_for_is_taken(name):
    assert backends.choose(name, torch.device("cpu")) == name


def test_an_unknown_backend_is_refused():
    text = r"backend must be one of 'auto', 'reference', 'cpu', 'torch', 'triton', got 'gpu'\."
    with pytest.raises(ValueError, match=text):
        backends.choose("gpu", torch.device("cpu"))


@pytest.mark.parametrize(("name", "device", "kind"), [("cpu", "cuda:1", "cpu"), ("triton", "cpu", "cuda")])
def test_a_backend_refuses_tensors_of_another_device(name, device, kind):
    text = (
        f"backend '{name}' takes {kind} tensors, got one on '{device}': move it to '{kind}', "
        r"or pass backend='auto'\."
    )
    with pytest.raises(ValueError, match=text):
        backends.choose(name, torch.device(device))


@pytest.mark.parametrize(("library", "backend"), [("numba", "cpu"), ("triton", "triton")])
def test_without_its_library_the_next_backend_is_used(without, library, backend):
    cause = f"ModuleNotFoundError: import of {library} halted; None in sys.modules."
    assert json.loads((without / library).read_text()) == {
        "problem": cause,
        "auto": "torch",
        "refusal": f"backend '{backend}' cannot run here: {cause} Pass backend='auto'.",
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_triton_runs_where_there_is_a_gpu():
    assert backends.problems()["triton"] is None
    assert backends.choose("triton", torch.device("cuda")) == "triton"
