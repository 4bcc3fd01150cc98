"""Pooling under masks against loops, the published module's numbers, and what must hold for any masks."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.region_lm.published_names import OSPREY_REGIONS, rename
from models.region_lm.regions.mask_pooling import MaskRegionEncoder, cell_weights, check_masks, mask_pool
from tests.models.region_lm.projectors.published import filled, parameter

GOLDEN = Path(__file__).parents[3] / "golden" / "osprey_mask_extractor_0.npz"
MODES = ("binary", "soft", "legacy")
LEVELS = (8, 16, 24, 32)
SIDES = (32, 16, 8, 4)


def maps(seed=0, sides=SIDES, channels=LEVELS):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(c, s, s, generator=generator) for c, s in zip(channels, sides, strict=True)]


def blocks(*corners, side=64, size=16):
    """Square masks, each given by its top left corner."""
    mask = torch.zeros(len(corners), side, side, dtype=torch.bool)
    for number, (top, left) in enumerate(corners):
        mask[number, top : top + size, left : left + size] = True
    return mask


def tiny(**keywords):
    torch.manual_seed(0)
    return MaskRegionEncoder(LEVELS, 32, 64, position_side=16, **keywords)


def slow_weights(mask, rows, columns):
    """Share of the pixels that a cell touches, cell by cell; cells are not finer than pixels."""
    height, width = mask.shape
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, bottom = i * height // rows, -(-(i + 1) * height // rows)
            left, right = j * width // columns, -(-(j + 1) * width // columns)
            out[i, j] = mask[top:bottom, left:right].mean()
    return out


@pytest.mark.parametrize("size", [(16, 16), (7, 5), (50, 3), (64, 48), (1, 1)])
def test_weights_are_the_shares_that_masks_cover(size):
    generator = np.random.default_rng(3)
    masks = generator.random((3, 64, 48)) < [[[0.5]], [[0.02]], [[0.9]]]
    slow = np.stack([slow_weights(mask, *size) for mask in masks])
    given = torch.from_numpy(masks)
    np.testing.assert_allclose(cell_weights(given, size, "soft"), slow, atol=1e-6)
    np.testing.assert_array_equal(cell_weights(given, size), slow > 0)


def test_a_map_finer_than_the_mask_repeats_its_pixels():
    mask = torch.tensor([[[True, False], [False, False]]])
    for mode in ("binary", "soft"):
        weights = cell_weights(mask, (4, 6), mode)[0]
        assert weights[:2, :3].eq(1).all()
        assert weights.sum() == 6
    # finer along one side, coarser along the other
    strip = torch.zeros(1, 2, 8, dtype=torch.bool)
    strip[0, 1, :3] = True
    assert cell_weights(strip, (4, 4), "soft")[0].tolist() == [
        [0] * 4,
        [0] * 4,
        [1, 0.5, 0, 0],
        [1, 0.5, 0, 0],
    ]


@pytest.mark.parametrize("mode", MODES)
def test_pooling_is_a_weighted_mean(mode):
    mask = blocks((3, 5), (30, 11), size=20)
    level = maps()[2]
    pooled = mask_pool(level, mask, mode)
    for number, weights in enumerate(cell_weights(mask, (8, 8), mode)):
        slow = sum(weights[i, j] * level[:, i, j] for i in range(8) for j in range(8)) / weights.sum()
        torch.testing.assert_close(pooled[number], slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", MODES)
def test_a_constant_map_gives_its_constant(mode, dtype):
    mask = blocks((0, 0), (13, 40), (48, 48), size=16)
    for channels, side in zip(LEVELS, (128, 16, 8, 4), strict=True):
        constant = torch.arange(channels, dtype=dtype)[:, None, None].expand(channels, side, side)
        expected = torch.arange(channels, dtype=dtype).expand(3, channels)
        tolerance = 1e-5 if dtype is torch.float32 else 0.01
        torch.testing.assert_close(mask_pool(constant, mask, mode), expected, rtol=tolerance, atol=tolerance)


def test_sums_are_not_taken_in_the_type_of_the_map():
    mask = torch.ones(1, 128, 128, dtype=torch.bool)
    high = torch.full((2, 128, 128), 60.0, dtype=torch.float16)  # sums to 983,040; float16 ends at 65,504
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mask_pool(high, mask).tolist() == [[60.0, 60.0]]
        ramp = torch.arange(128.0).expand(1, 128, 128)
        assert mask_pool(ramp, mask).item() == pytest.approx(63.5, abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_what_lies_inside_one_mask_does_not_reach_another(mode):
    mask = blocks((0, 0), (32, 32), size=32)  # aligned to the cells of every level
    for level in maps():
        side = level.shape[1]
        before = mask_pool(level, mask, mode)
        changed = level.clone()
        changed[:, : side // 2 - 1, : side // 2 - 1] += 5.0  # a cell of margin: legacy samples around centres
        after = mask_pool(changed, mask, mode)
        assert torch.equal(after[1], before[1])
        assert not torch.equal(after[0], before[0])


@pytest.mark.parametrize("mode", MODES)
def test_a_union_is_the_mean_weighted_by_area(mode):
    small, large = blocks((0, 0), size=16), blocks((32, 0), size=32)
    for level in maps():
        parts = mask_pool(level, torch.cat([small, large]), mode)
        whole = mask_pool(level, small | large, mode)
        torch.testing.assert_close(whole[0], (parts[0] * 16**2 + parts[1] * 32**2) / (16**2 + 32**2))


def test_a_single_pixel_is_seen_at_every_level():
    for place in [(0, 0), (255, 255), (17, 100)]:
        mask = torch.zeros(1, 256, 256, dtype=torch.bool)
        mask[0, place[0], place[1]] = True
        for level in maps():
            row, column = (number * level.shape[1] // 256 for number in place)
            for mode in ("binary", "soft"):
                torch.testing.assert_close(mask_pool(level, mask, mode)[0], level[:, row, column])
        position = tiny()(maps(), mask).position_RD
        assert not torch.equal(position, tiny()(maps(), blocks((200, 3), side=256, size=1)).position_RD)


def test_the_published_pooling_loses_small_masks():
    """Share of the places of a square at which no cell of 32 x 32 pixels sees it, as with 512 on 16."""
    corners = [(top, left) for top in range(32, 64) for left in range(32, 64)]
    lost = {}
    for size in (1, 4, 8, 16, 32):
        mask = blocks(*corners, side=96, size=size)
        lost[size] = (cell_weights(mask, (3, 3), "legacy").sum(dim=(1, 2)) == 0).float().mean().item()
        assert (cell_weights(mask, (3, 3)).sum(dim=(1, 2)) > 0).all()
    assert lost == pytest.approx({1: 1.0, 4: 0.97, 8: 0.93, 16: 0.71, 32: 0.0}, abs=0.02)
    vanished = mask_pool(torch.ones(3, 3, 3), blocks((40, 32), side=96, size=1), "legacy")
    assert vanished.tolist() == [[0.0, 0.0, 0.0]]


def test_equal_masks_have_equal_positions_and_moved_ones_do_not():
    encoder = tiny()
    tokens = encoder(maps(), blocks((8, 8), (8, 8), (8, 12)))
    assert torch.equal(tokens.position_RD[0], tokens.position_RD[1])
    assert not torch.equal(tokens.position_RD[0], tokens.position_RD[2])
    assert torch.equal(tokens.mask_RD[0], tokens.mask_RD[1])
    twice = encoder(maps(), blocks((16, 16), side=128, size=32))
    torch.testing.assert_close(twice.position_RD[0], tokens.position_RD[0])
    odd = encoder(maps(), blocks((12, 12), side=97, size=24))  # the same share of another canvas
    near = (odd.position_RD[0] - tokens.position_RD[0]).norm()
    assert near < 0.5 * (tokens.position_RD[2] - tokens.position_RD[0]).norm()


@pytest.mark.parametrize("mode", MODES)
def test_order_of_regions_is_order_of_tokens(mode):
    mask = blocks((0, 0), (20, 30), (41, 7), (5, 40))
    encoder, order = tiny(mode=mode), torch.tensor([2, 0, 3, 1])
    tokens, permuted = encoder(maps(), mask), encoder(maps(), mask[order])
    torch.testing.assert_close(permuted.mask_RD, tokens.mask_RD[order])
    torch.testing.assert_close(permuted.position_RD, tokens.position_RD[order])
    assert tokens.mask_RD.shape == tokens.position_RD.shape == (4, 64)


def test_a_batch_is_its_images():
    encoder = tiny()
    images = [maps(0), maps(1, sides=(40, 20, 10, 5)), maps(2)]
    masks = [blocks((0, 0), (9, 9)), torch.zeros(0, 30, 50, dtype=torch.bool), blocks((3, 4), side=40)]
    batch = encoder.forward_batch(images, masks)
    assert [len(tokens.mask_RD) for tokens in batch] == [2, 0, 1]
    for tokens, levels, mask in zip(batch, images, masks, strict=True):
        alone = encoder(levels, mask)
        torch.testing.assert_close(tokens.mask_RD, alone.mask_RD)
        torch.testing.assert_close(tokens.position_RD, alone.position_RD)
    assert tiny().forward_batch(images[1:2], masks[1:2])[0].mask_RD.shape == (0, 64)


def test_without_a_raster_there_is_no_position():
    encoder = MaskRegionEncoder((8,), 32, 64, position_side=None)
    tokens = encoder(maps()[:1], blocks((0, 0)))
    assert tokens.position_RD is None
    assert tokens.mask_RD.shape == (1, 64)
    assert not [name for name, _ in encoder.named_parameters() if "position" in name]


def test_gradients_reach_maps_and_every_parameter():
    levels = [level.requires_grad_() for level in maps()]
    encoder = tiny()
    tokens = encoder(levels, blocks((0, 0), (40, 40)))
    (tokens.mask_RD.square().sum() + tokens.position_RD.square().sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    assert all(level.grad.abs().sum() > 0 for level in levels)
    assert levels[0].grad[:, 10, 28:].abs().sum() == 0  # under no mask


def test_number_of_parameters():
    with torch.device("meta"):
        encoder = MaskRegionEncoder((192, 384, 768, 1536), 1024, 4096)

    def count(part):
        return sum(parameter.numel() for parameter in part.parameters())

    assert count(encoder.levels) == 2_953_216
    assert count(encoder.merge) == 4_198_400
    assert count(encoder.position) == 18_094_080
    assert count(encoder) == 25_245_696
    assert count(tiny()) == 16_192


def test_published_numbers():
    golden = np.load(GOLDEN)
    width, tag = int(golden["out_dim"]), str(golden["tag"])
    state = {}
    for name, shape in zip(golden["names"].tolist(), map(ast.literal_eval, golden["shapes"]), strict=True):
        state[name] = parameter(name, shape)
    encoder = MaskRegionEncoder((192, 384, 768, 1536), 1024, width, mode="legacy")
    renamed, unmatched = rename(state, OSPREY_REGIONS)
    assert unmatched == []
    encoder.load_state_dict(renamed)
    sides = (64, 32, 16, 8)
    levels = [
        filled(f"feat.res{number + 2}.{tag}", (192 * 2**number, side, side), 1.0)
        for number, side in enumerate(sides)
    ]
    tokens = encoder(levels, torch.from_numpy(golden["masks"]).bool())
    np.testing.assert_allclose(tokens.mask_RD.detach(), golden["mask_tokens"], atol=1e-4)
    np.testing.assert_allclose(tokens.position_RD.detach(), golden["position_tokens"], atol=1e-4)


def test_bad_masks_are_named():
    empty = blocks((0, 0), (0, 0))
    empty[1] = False
    with pytest.raises(ValueError, match=r"the mask of region 1 of 2 is empty: nothing can be said of it"):
        tiny()(maps(), empty)
    with pytest.raises(ValueError, match="the mask of region 1 of 2 is empty"):
        mask_pool(maps()[0], empty)
    with pytest.raises(TypeError, match=r"mask_RHW must be bool, got torch\.float32"):
        check_masks(torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match=r"mask_RHW must have shape \(R, H, W\), got \(4, 4\)"):
        cell_weights(torch.ones(4, 4, dtype=torch.bool), (2, 2))
    with pytest.raises(ValueError, match=r"map_CHW must have shape \(C, H, W\), got \(1, 8, 32, 32\)"):
        mask_pool(maps()[0][None], blocks((0, 0)))


def test_wrong_levels_are_named():
    encoder = tiny()
    with pytest.raises(ValueError, match=r"of \[8, 16, 24, 32\] channels, got \[\(8, 32, 32\), \(16"):
        encoder(maps()[:2], blocks((0, 0)))
    with pytest.raises(ValueError, match=r"maps \(C, H, W\) of \[8, 16, 24, 32\] channels"):
        encoder(maps()[::-1], blocks((0, 0)))
    with pytest.raises(ValueError, match="each image needs its masks, got 2 images and 1 sets"):
        encoder.forward_batch([maps(), maps()], [blocks((0, 0))])
    with pytest.raises(ValueError, match="level_channels is empty"):
        MaskRegionEncoder((), 32, 64)


def test_inputs_are_left_as_they_were():
    levels, mask = maps(), blocks((0, 0))
    kept, kept_mask = [level.clone() for level in levels], mask.clone()
    encoder = tiny()
    assert isinstance(encoder.position, nn.Sequential)
    encoder(levels, mask)
    assert all(torch.equal(one, other) for one, other in zip(levels, kept, strict=True))
    assert torch.equal(mask, kept_mask)
