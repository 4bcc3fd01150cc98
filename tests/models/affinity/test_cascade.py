import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.cascade import AffinityCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree
from tests.models.affinity.dense import (
    BOX_1HW,
    IMAGE_1CHW,
    MASK_1HW,
    average,
    field,
    fields,
    fixed,
    golden,
    grid_bottlenecks,
    like,
    sweeps,
    tree_bottlenecks,
    window_matrix,
)

ONE = torch.zeros(1, dtype=torch.int64)


def cascade(image_zeta=0.2, label_zeta=0.1, local_zeta=0.3, kernel_size=3, iterations=4):
    return AffinityCascade(
        image_pass=GlobalPropagation(zeta=image_zeta),
        label_pass=GlobalPropagation(zeta=label_zeta),
        local=LocalPropagation(kernel_size=kernel_size, zeta=local_zeta, iterations=iterations),
    )


def test_worked_example():
    labels = cascade(6.0, 0.5, 3.0, iterations=20)(IMAGE_1CHW, MASK_1HW, BOX_1HW, ONE)
    far = ".244025 .24402 .243978 .243978 .244025 .24402 .243978 .244549 .244025 .24402 .24402 .244551"
    near = ".312389 .308029 .026551 0 .31089 .2848 .040138 0 .312138 .255031 .239327 0"
    assert labels.far_RHW.flatten().tolist() == pytest.approx([float(x) for x in far.split()], abs=6e-7)
    assert labels.near_RHW.flatten().tolist() == pytest.approx([float(x) for x in near.split()], abs=6e-7)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_outputs_of_both_passes(number):
    file = golden(f"apro_global_{number}")
    value_RHW = file["x"][:, 0]
    both = cascade(file["zeta_low"].item(), file["zeta_high"].item())
    labels = both(file["image"], value_RHW, torch.ones_like(value_RHW), torch.arange(len(value_RHW)))
    torch.testing.assert_close(labels.far_RHW, file["y_high"][:, 0], rtol=0, atol=2e-3)


@fixed
@given(fields(), st.sampled_from([0.05, 0.5]), st.sampled_from([0.02, 0.3]))
def test_equals_the_formulas(guidance_CHW, image_zeta, label_zeta):
    value_RHW, inside_RHW = like(guidance_CHW, seed=1), like(guidance_CHW, seed=2)
    labels = cascade(image_zeta, label_zeta)(guidance_CHW[None], value_RHW, inside_RHW, ONE)
    first_HW = average(grid_bottlenecks(guidance_CHW), image_zeta, value_RHW[0])
    edge_E2 = minimum_spanning_tree(guidance_CHW[None]).edge_BE2[0]
    second_HW = average(tree_bottlenecks(edge_E2, first_HW[None]), label_zeta, first_HW)
    torch.testing.assert_close(labels.far_RHW[0], second_HW, rtol=0, atol=1e-9)
    swept_HW = sweeps(window_matrix(guidance_CHW, 3, 0.3), 4, inside_RHW[0], value_RHW[0])
    torch.testing.assert_close(labels.near_RHW[0], swept_HW, rtol=0, atol=1e-12)


@fixed
@given(fields())
def test_labels_stay_in_the_range_of_the_prediction(guidance_CHW):
    value_RHW = like(guidance_CHW).float()
    labels = cascade()(guidance_CHW[None], value_RHW, torch.ones_like(value_RHW), ONE)
    for label_RHW in labels:
        assert label_RHW.min() >= value_RHW.min() - 1e-7
        assert label_RHW.max() <= value_RHW.max() + 1e-7
        assert label_RHW.min() >= 0.0
        assert label_RHW.max() <= 1.0


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))])
def test_pixels_may_be_mirrored_and_turned_where_no_two_edges_are_equal(turn):
    guidance_BCHW, value_RHW, inside_RHW = (field(seed, 1, 7, 6, 0)[None] for seed in (1, 2, 3))
    value_RHW, inside_RHW = value_RHW[0], inside_RHW[0]
    plain = cascade()(guidance_BCHW, value_RHW, inside_RHW, ONE)
    turned = cascade()(turn(guidance_BCHW), turn(value_RHW), turn(inside_RHW), ONE)
    for label_RHW, other_RHW in zip(plain, turned, strict=True):
        torch.testing.assert_close(other_RHW, turn(label_RHW), rtol=0, atol=1e-10)


def test_regions_and_images_do_not_meet():
    guidance_BCHW = torch.stack([field(seed, 3, 6, 5, levels) for seed, levels in ((1, 0), (2, 4), (3, 1))])
    value_RHW, inside_RHW = field(4, 5, 6, 5, 0), field(5, 5, 6, 5, 2)
    image_R = torch.tensor([2, 0, 1, 0, 2])
    labels = cascade()(guidance_BCHW, value_RHW, inside_RHW, image_R)
    for region, image in enumerate(image_R.tolist()):
        part = slice(region, region + 1)
        alone = cascade()(guidance_BCHW[image : image + 1], value_RHW[part], inside_RHW[part], ONE)
        assert torch.equal(labels.far_RHW[part], alone.far_RHW)
        assert torch.equal(labels.near_RHW[part], alone.near_RHW)


def test_labels_carry_no_gradient_and_repeat_to_the_bit():
    guidance_BCHW, value_RHW = (
        field(1, 3, 9, 8, 8)[None].requires_grad_(),
        field(2, 4, 9, 8, 0).requires_grad_(),
    )
    image_R, inside_RHW = torch.zeros(4, dtype=torch.int64), torch.ones(4, 9, 8)
    first = cascade()(guidance_BCHW, value_RHW, inside_RHW, image_R)
    for _ in range(10):
        again = cascade()(guidance_BCHW, value_RHW, inside_RHW, image_R)
        assert all(torch.equal(label, other) for label, other in zip(first, again, strict=True))
    assert not any(label.requires_grad for label in first)


@pytest.mark.parametrize("images", [0, 1])
def test_no_region_is_no_label(images):
    none = torch.zeros(0, 6, 5)
    labels = cascade()(torch.rand(images, 3, 6, 5), none, none, torch.zeros(0, dtype=torch.int64))
    assert labels.far_RHW.shape == labels.near_RHW.shape == (0, 6, 5)


def test_a_prediction_that_is_no_number_stays_visible_and_spoils_no_other_region():
    guidance_BCHW, value_RHW = field(1, 3, 6, 5, 0)[None], field(2, 2, 6, 5, 0)
    spoiled_RHW, inside_RHW, image_R = (
        value_RHW.clone(),
        torch.ones(2, 6, 5),
        torch.zeros(2, dtype=torch.int64),
    )
    spoiled_RHW[0, 3, 2] = torch.nan
    clean = cascade()(guidance_BCHW, value_RHW, inside_RHW, image_R)
    labels = cascade()(guidance_BCHW, spoiled_RHW, inside_RHW, image_R)
    for label_RHW, clean_RHW in zip(labels, clean, strict=True):
        assert label_RHW[0].isnan().any()
        assert torch.equal(label_RHW[1], clean_RHW[1])
