import sys

import pytest
import torch

from tests.models.affinity.fast import no_gpu

pytestmark = pytest.mark.xdist_group("triton")
triton_edges = pytest.importorskip("models.affinity.fast.triton_edges", reason="Triton is not installed")

SIZES = [(2, 3, 5, 7), (1, 1, 1, 1), (2, 2, 1, 9), (1, 4, 9, 1), (2, 1, 20, 33), (0, 1, 3, 3)]


def plain(guidance_BCHW):
    """Sum the squared differences channel by channel, the edges in their order."""
    guidance = guidance_BCHW.to(torch.float64 if guidance_BCHW.dtype == torch.float64 else torch.float32)
    below = torch.zeros_like(guidance[:, 0, 1:])
    right = torch.zeros_like(guidance[:, 0, :, 1:])
    for channel in guidance.unbind(1):
        below += (channel[:, :-1] - channel[:, 1:]).square()
        right += (channel[:, :, :-1] - channel[:, :, 1:]).square()
    return torch.cat((below.flatten(1), right.flatten(1)), dim=1)


def guidance_of(shape, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


def check_every_size_and_type_gives_the_bits_of_the_formula(device="cpu"):
    for shape in SIZES:
        for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            guidance = guidance_of(shape, dtype, device)
            weight = triton_edges.edge_weights(guidance)
            no_gpu.compare(weight, plain(guidance))


def check_strided_guidance(device="cpu"):
    guidance = guidance_of((1, 6, 7, 2), device=device).permute(0, 3, 1, 2)[:, :, ::2]
    no_gpu.compare(triton_edges.edge_weights(guidance), plain(guidance))


def check_the_example():
    guidance = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    assert triton_edges.edge_weights(guidance).tolist() == [[4.0, 4.0, 1.0, 1.0]]


def check_the_grid_of_golden_vector_one():
    guidance = torch.tensor([[0, 2, 10, 12], [1, 4, 11, 18], [0, 6, 7, 20]]).float()[None, None]
    expected = [1, 4, 1, 36, 1, 4, 16, 4, 4, 64, 4, 9, 49, 49, 36, 1, 169]
    assert triton_edges.edge_weights(guidance).tolist() == [expected]


@pytest.mark.parametrize("name", no_gpu.checks(sys.modules[__name__]))
def test_in_the_interpreter(interpreted, name):
    assert not interpreted[__name__][name], interpreted[__name__][name]


@pytest.mark.parametrize("guidance", ["*fp32", "*fp64", "*fp16", "*bf16"])
@pytest.mark.parametrize(
    "ones", [(), ("channels",), ("height",), ("width",), ("channels", "height", "width")]
)
def test_compiles_without_a_gpu(guidance, ones, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    weight = "*fp64" if guidance == "*fp64" else "*fp32"
    sizes = dict.fromkeys(("channels", "height", "width"), "i32") | dict.fromkeys(ones, 1)
    kernel = triton_edges._edge_weights
    assert no_gpu.machine_code(kernel, guidance=guidance, weight=weight, **sizes, BLOCK=256)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_the_gpu():
    check_every_size_and_type_gives_the_bits_of_the_formula("cuda")
    check_strided_guidance("cuda")
    guidance = guidance_of((3, 3, 200, 304), device="cuda")
    no_gpu.compare(triton_edges.edge_weights(guidance), plain(guidance))
