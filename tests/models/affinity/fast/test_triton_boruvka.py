import sys

import pytest
import torch

from models.affinity.fast import boruvka
from tests.models.affinity.fast import no_gpu

pytestmark = pytest.mark.xdist_group("triton")
triton_boruvka = pytest.importorskip("models.affinity.fast.triton_boruvka", reason="Triton is not installed")

SIZES = [(2, 5, 7), (1, 1, 1), (2, 1, 9), (1, 9, 1), (2, 12, 13), (3, 2, 2), (0, 3, 3), (1, 17, 16)]
NONE, ACROSS = 2**63 - 1, 2**31


def weights_of(shape, levels=0, dtype=torch.float32, device="cpu"):
    """Draw weights for the edges of grids; with few ``levels`` many are equal."""
    batch, height, width = shape
    generator = torch.Generator().manual_seed(height * width + levels)
    size = (batch, height * (width - 1) + width * (height - 1))
    if levels:
        return torch.randint(levels, size, generator=generator).to(device, dtype)
    return torch.rand(size, generator=generator, dtype=dtype).to(device)


def slow_keys(weight_BM, height, width):
    """Pack one edge after another; a float64 is ranked, a float32 read as the integer of its bits."""
    down, right = [], []
    for image, weights in enumerate(weight_BM):
        order = sorted(range(len(weights)), key=lambda edge: (weights[edge].item(), edge))
        high = [0] * len(weights)
        for rank, edge in enumerate(order):
            bits = weights[edge].view(torch.int32).item() if weights.dtype == torch.float32 else rank
            high[edge] = bits << 32
        for row in range(height):
            for column in range(width):
                name = (image * height + row) * width + column
                across = (height - 1) * width + row * (width - 1) + column
                down.append(high[row * width + column] + name if row + 1 < height else NONE)
                right.append(high[across] + ACROSS + name if column + 1 < width else NONE)
    return torch.tensor(down, dtype=torch.int64), torch.tensor(right, dtype=torch.int64)


def slow_exits(label_P, down_P, right_P, width, num_places):
    """Offer one edge after another to both its components; return what they keep and the changed keys."""
    label, best = label_P.tolist(), [NONE] * num_places
    changed = []
    for keys, step in ((down_P.tolist(), width), (right_P.tolist(), 1)):
        for pixel, key in enumerate(keys):
            if key != NONE and label[pixel] == label[pixel + step]:
                keys[pixel] = NONE
            elif key != NONE:
                for end in (label[pixel], label[pixel + step]):
                    best[end] = min(best[end], key)
        changed.append(torch.tensor(keys, dtype=torch.int64))
    return torch.tensor(best, dtype=torch.int64), *changed


def slow_choice(best_V, label_P, step_down):
    other, place = [], []
    for own, key in enumerate(best_V.tolist()):
        near, across = key % ACROSS, key // ACROSS % 2
        if key == NONE:
            other.append(own)
            place.append(2 * len(label_P))
        else:
            ends = {label_P[near].item(), label_P[near + (1 if across else step_down)].item()}
            other.append((ends - {own}).pop())
            place.append(near + across * len(label_P))
    return torch.tensor(other), torch.tensor(place)


def slow_merge(other_V):
    other = other_V.tolist()
    leads = [other[named] == own and own <= named for own, named in enumerate(other)]
    number = {own: place for place, own in enumerate(own for own, first in enumerate(leads) if first)}
    merged = []
    for own in range(len(other)):
        place = own
        while not leads[place]:
            place = other[place]
        merged.append(number[place])
    return torch.tensor(merged, dtype=torch.int64), torch.tensor(leads, dtype=torch.bool)


def check_keys(device="cpu"):
    for shape in SIZES:
        for dtype in (torch.float32, torch.float64):
            weight = weights_of(shape, 3, dtype, device)
            for found, expected in zip(
                triton_boruvka.edge_keys(weight, *shape[1:]), slow_keys(weight.cpu(), *shape[1:]), strict=True
            ):
                no_gpu.compare(found, expected)


def check_exits_and_choices(device="cpu"):
    for batch, height, width in SIZES[:-2]:
        generator = torch.Generator().manual_seed(width)
        down, right = slow_keys(weights_of((batch, height, width), 3), height, width)
        # patches of equal labels, none of them in two images; every second place stays empty
        patch = torch.arange(height)[:, None] // 3 * width + torch.arange(width) // 2
        label = torch.randperm(batch * height * width, generator=generator)
        label = 2 * label.view(batch, -1)[:, : int(patch.max()) + 1].gather(
            1, patch.view(1, -1).repeat(batch, 1)
        )
        label, places = label.flatten(), 2 * batch * height * width
        best, down_after, right_after = slow_exits(label, down, right, width, places)
        label, down, right = label.to(device), down.to(device), right.to(device)
        no_gpu.compare(triton_boruvka.smallest_exits(label, down, right, width, places), best)
        no_gpu.compare(down, down_after)
        no_gpu.compare(right, right_after)
        step = width if height > 1 else 0
        expected = slow_choice(best, label.cpu(), step)
        for found, wanted in zip(
            triton_boruvka.read_choice(best.to(device), label, step), expected, strict=True
        ):
            no_gpu.compare(found, wanted)


def check_merging_of_long_chains(device="cpu"):
    chain = torch.arange(1, 601)
    chain[-1] = 598
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    shuffled = torch.empty_like(chain)
    shuffled[order] = order[chain]
    alone = torch.arange(5)
    pairs = torch.tensor([1, 0, 3, 2, 2, 5])
    for other in (chain, shuffled, alone, pairs, alone[:0]):
        for found, expected in zip(
            triton_boruvka.merge(other.to(device), len(other)), slow_merge(other), strict=True
        ):
            no_gpu.compare(found, expected)


def check_trees_are_those_of_plain_torch(device="cpu"):
    for shape in SIZES:
        for levels, dtype in ((0, torch.float32), (1, torch.float32), (3, torch.float32), (3, torch.float64)):
            weight = weights_of(shape, levels, dtype, device)
            found = triton_boruvka.spanning_tree_edges(weight, *shape[1:])
            expected = boruvka.spanning_tree_edges(weight.cpu(), *shape[1:])
            no_gpu.compare(found, expected)


def test_a_batch_whose_pixels_do_not_fit_a_key_is_refused():
    text = r"The batch must have fewer than 2\*\*31 pixels, got 536870912 images of 2x2: split it\."
    with pytest.raises(ValueError, match=text):
        triton_boruvka.spanning_tree_edges(torch.zeros(1, 1).expand(2**29, 4), 2, 2)


@pytest.mark.parametrize("name", no_gpu.checks(sys.modules[__name__]))
def test_in_the_interpreter(interpreted, name):
    assert not interpreted[__name__][name], interpreted[__name__][name]


KEYS = dict.fromkeys(("down", "right"), "*i64")
CONSTANTS = {"NONE": NONE, "BLOCK": 256}
KERNELS = {
    "_edge_keys": {"order": "*i32", **KEYS, "height": "i32", "width": "i32", "ACROSS": ACROSS, **CONSTANTS},
    "_smallest_exits": {"label": "*i64", **KEYS, "best": "*i64", "count": "i32", "width": "i32", **CONSTANTS},
    "_read_choice": {
        **dict.fromkeys(("best", "label", "other", "place"), "*i64"),
        **dict.fromkeys(("count", "pixels", "step_down"), "i32"),
        "ACROSS": ACROSS,
        **CONSTANTS,
    },
    "_lead": {"other": "*i64", "leader": "*i64", "leads": "*i1", "count": "i32", "BLOCK": 256},
    "_jump": {"leader": "*i64", "count": "i32", "HOPS": 7, "BLOCK": 256},
}


@pytest.mark.parametrize("ones", ["none", "all", "width", "height"])
@pytest.mark.parametrize("name", KERNELS)
def test_compiles_without_a_gpu(name, ones, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    one = {key: 1 for key, value in KERNELS[name].items() if value == "i32" and ones in (key, "all")}
    assert no_gpu.machine_code(getattr(triton_boruvka, name), **KERNELS[name] | one)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_the_gpu():
    check_keys("cuda")
    check_exits_and_choices("cuda")
    check_merging_of_long_chains("cuda")
    check_trees_are_those_of_plain_torch("cuda")
    for levels in (0, 1, 256):
        weight = weights_of((3, 200, 304), levels, device="cuda")
        expected = boruvka.spanning_tree_edges(weight.cpu(), 200, 304)
        for _ in range(3):
            no_gpu.compare(triton_boruvka.spanning_tree_edges(weight, 200, 304), expected)
