import math
import sys

import pytest
import torch

from models.affinity.local import LocalPropagation
from tests.models.affinity.dense import BOX_1HW, IMAGE_1CHW, MASK_1HW
from tests.models.affinity.fast import no_gpu

pytestmark = pytest.mark.xdist_group("triton")
triton_local = pytest.importorskip("models.affinity.fast.triton_local", reason="Triton is not installed")


def slow_sweep(x, guidance, mask, reach, zeta):
    """One sweep over one field, pixel by pixel; nested lists, colours innermost."""
    height, width = len(x), len(x[0])
    out = [[0.0] * width for _ in range(height)]
    for r in range(height):
        for c in range(width):
            total = weighted = 0.0
            for v in range(max(0, r - reach), min(height, r + reach + 1)):
                for u in range(max(0, c - reach), min(width, c + reach + 1)):
                    weight = math.exp(-(math.dist(guidance[v][u], guidance[r][c]) ** 2) / zeta**2)
                    total += weight
                    weighted += weight * x[v][u]
            out[r][c] = weighted / total * mask[r][c]
    return out


def slow_sweeps(x_RCHW, guidance_BCHW, mask_RCHW, image_R, reach, zeta, iterations):
    mask_RCHW = mask_RCHW.double().expand(x_RCHW.shape)
    out_RCHW = x_RCHW.double() * mask_RCHW
    for region, image in enumerate(image_R.tolist()):
        guidance = guidance_BCHW[image].double().permute(1, 2, 0).tolist()
        for channel, mask in enumerate(mask_RCHW[region].tolist()):
            field = out_RCHW[region, channel].tolist()
            for _ in range(iterations):
                field = slow_sweep(field, guidance, mask, reach, zeta)
            out_RCHW[region, channel] = torch.tensor(field, dtype=torch.float64)
    return out_RCHW


def by_shifts(x_RCHW, guidance_BCHW, mask_RCHW, image_R, reach, zeta, iterations):
    """The same in whole-image shifts, for sizes at which pixel by pixel takes too long."""
    guidance, mask, height, width = guidance_BCHW[image_R], mask_RCHW, *x_RCHW.shape[2:]
    out = x_RCHW * mask
    for _ in range(iterations):
        weighted, total = torch.zeros_like(out), torch.zeros_like(out)
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                if abs(down) >= height or abs(right) >= width:
                    continue
                rows, columns = (
                    slice(max(0, -down), height - max(0, down)),
                    slice(max(0, -right), width - max(0, right)),
                )
                below, beside = (
                    slice(max(0, down), height + min(0, down)),
                    slice(max(0, right), width + min(0, right)),
                )
                distance = (guidance[..., rows, columns] - guidance[..., below, beside]).square().sum(1, True)
                weight = (-distance / zeta**2).exp()
                weighted[..., rows, columns] += weight * out[..., below, beside]
                total[..., rows, columns] += weight
        out = weighted / total * mask
    return out


def case(regions, channels, height, width, *, images=2, mask_channels=1, dtype=torch.float64):
    """Draw fields and images; masks are soft-edged boxes of different sizes."""
    generator = torch.Generator().manual_seed(height * width)
    x = torch.rand((regions, channels, height, width), generator=generator, dtype=torch.float64).to(dtype)
    guidance = torch.rand((images, 3, height, width), generator=generator, dtype=torch.float64).to(dtype)
    mask = torch.zeros((regions, mask_channels, height, width), dtype=dtype)
    for number, plane in enumerate(mask.flatten(0, 1)):
        box = plane[number % height : height - number % 2, (2 * number) % width : width - number]
        box.copy_(torch.rand(box.shape, generator=generator) * 0.5 + 0.5)
    image = torch.arange(regions).flip(0) % images
    return x, guidance, mask, image


def check_sizes_windows_and_boxes(device="cpu"):
    for arguments in (
        case(3, 2, 5, 7),
        case(1, 1, 1, 1, images=1),
        case(2, 1, 1, 9),
        case(2, 1, 9, 1),
        case(3, 2, 6, 5, mask_channels=2),
    ):
        for reach, iterations in ((1, 1), (2, 3), (0, 2)):
            here = [tensor.to(device) for tensor in arguments]
            found = triton_local.local_sweeps(*here, reach, 0.4, iterations).cpu()
            no_gpu.compare(found, slow_sweeps(*arguments, reach, 0.4, iterations), 1e-12)


def check_several_tiles(device="cpu"):
    arguments = [tensor.to(device) for tensor in case(2, 1, 19, 70)]
    found = triton_local.local_sweeps(*arguments, 2, 0.4, 2)
    no_gpu.compare(found, by_shifts(*arguments, 2, 0.4, 2), 1e-12)


def check_types(device="cpu"):
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
        arguments = [tensor.to(device) for tensor in case(2, 1, 5, 7, dtype=dtype)]
        found = triton_local.local_sweeps(*arguments, 1, 0.4, 2)
        assert found.dtype == dtype
        expected = slow_sweeps(*(tensor.cpu() for tensor in arguments), 1, 0.4, 2)
        no_gpu.compare(found.cpu().double(), expected, tolerance)


def check_strided_fields():
    x, guidance, mask, image = case(2, 2, 6, 8)
    x, guidance, mask = x.transpose(2, 3)[..., ::2], guidance.transpose(2, 3)[..., ::2], mask[:, :, :4, :3]
    mask = mask.transpose(2, 3).repeat(1, 1, 3, 1)[:, :, :8, :3]
    found = triton_local.local_sweeps(x, guidance, mask, image, 1, 0.4, 2)
    no_gpu.compare(found, slow_sweeps(x, guidance, mask, image, 1, 0.4, 2), 1e-12)


def check_golden_vector_one():
    rows = {
        1: [0.700487, 0.483308, 0, 0, 0.460519, 0.158901, 0, 0, 0.429763, 0.023212, 0, 0],
        20: [0.312389, 0.308029, 0.026551, 0, 0.31089, 0.2848, 0.040138, 0, 0.312138, 0.255031, 0.239327, 0],
    }
    for iterations, expected in rows.items():
        found = triton_local.local_sweeps(
            MASK_1HW[None], IMAGE_1CHW, BOX_1HW[None], torch.tensor([0]), 1, 3.0, iterations
        )
        no_gpu.compare(found.flatten(), torch.tensor(expected).double(), 1e-6)


def check_no_sweep_only_masks():
    x, guidance, mask, image = case(2, 2, 4, 5)
    found = triton_local.local_sweeps(x, guidance, mask, image, 2, 0.4, 0)
    no_gpu.compare(found, x * mask)


def check_an_empty_mask_gives_zero_and_no_region_gives_nothing():
    x, guidance, mask, image = case(2, 1, 4, 5)
    assert not triton_local.local_sweeps(x, guidance, mask * 0.0, image, 1, 0.4, 2).any()
    assert triton_local.local_sweeps(x[:0], guidance, mask[:0], image[:0], 1, 0.4, 2).shape == (0, 1, 4, 5)


def check_a_constant_stays_where_the_mask_is_one():
    _, guidance, mask, image = case(2, 1, 4, 5)
    ones = torch.ones_like(mask)
    no_gpu.compare(triton_local.local_sweeps(ones, guidance, ones, image, 2, 0.4, 5), ones, 1e-12)


def check_extreme_bandwidths():
    x, guidance, mask, image = case(2, 1, 4, 5, dtype=torch.float32)
    for zeta in (1e-200, 1e-30):
        no_gpu.compare(triton_local.local_sweeps(x, guidance, mask, image, 1, zeta, 1), x * mask**2, 1e-6)
    guidance[:] = 0.5
    same = slow_sweeps(x, guidance, mask, image, 1, 1.0, 2).float()
    for zeta in (1e-200, 1e-30, 1e30, 1e200):
        no_gpu.compare(triton_local.local_sweeps(x, guidance, mask, image, 1, zeta, 2), same, 1e-6)


@pytest.mark.parametrize("name", no_gpu.checks(sys.modules[__name__]))
def test_in_the_interpreter(interpreted, name):
    assert not interpreted[__name__][name], interpreted[__name__][name]


def test_slow_and_shifted_sweeps_agree():
    arguments = case(2, 2, 5, 6)
    expected = slow_sweeps(*arguments, 2, 0.4, 2)
    no_gpu.compare(by_shifts(*arguments, 2, 0.4, 2), expected, 1e-12)


ONES = [(), ("channels", "height", "width"), ("width",), ("height",)]


@pytest.mark.parametrize("ones", ONES)
@pytest.mark.parametrize("dtype", ["*fp32", "*fp64"])
def test_affinities_compile_without_a_gpu(dtype, ones, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    sizes = dict.fromkeys(("channels", "height", "width"), "i32") | dict.fromkeys(ones, 1)
    kernel = triton_local._half_window
    assert no_gpu.machine_code(kernel, guidance="*bf16", scale=dtype, half=dtype, **sizes, REACH=2, BLOCK=256)


@pytest.mark.parametrize("ones", [(), ("planes", "height", "width"), ("width",), ("height",)])
@pytest.mark.parametrize("dtype", ["*fp32", "*fp64"])
def test_sweeps_compile_without_a_gpu(dtype, ones, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    fields = dict.fromkeys(("before", "after", "mask", "half"), dtype)
    sizes = dict.fromkeys(("planes", "height", "width"), "i32") | dict.fromkeys(ones, 1)
    tile = {"REACH": 2, "TILE_HEIGHT": 8, "TILE_WIDTH": 64}
    assert no_gpu.machine_code(triton_local._sweep, **fields, table="*i64", **sizes, **tile)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_the_gpu():
    check_sizes_windows_and_boxes("cuda")
    check_several_tiles("cuda")
    check_types("cuda")
    arguments = [tensor.cuda() for tensor in case(5, 2, 120, 150)]
    found = triton_local.local_sweeps(*arguments, 2, 0.15, 20)
    no_gpu.compare(found, by_shifts(*arguments, 2, 0.15, 20), 1e-12)
    x, guidance, mask, image = case(5, 2, 120, 150, dtype=torch.float32)
    propagate = LocalPropagation(kernel_size=5, zeta=0.15, iterations=20)
    expected = propagate(x, guidance, mask, image_R=image, backend="cpu")
    here = (tensor.cuda() for tensor in (x, guidance, mask))
    found = propagate(*here, image_R=image.cuda(), backend="triton")
    no_gpu.compare(found.cpu(), expected, 1e-5)
