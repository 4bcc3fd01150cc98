import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.cascade import AffinityCascade, GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import edge_weights, minimum_spanning_tree
from tests.models.affinity.dense import (
    BACKENDS,
    BOX_1HW,
    IMAGE_1CHW,
    MASK_1HW,
    average,
    codes,
    field,
    fields,
    fixed,
    golden,
    grid_bottlenecks,
    images,
    like,
    pairs,
    structure_on,
    sweeps,
    tree_bottlenecks,
    window_matrix,
)

IMAGE_R = torch.tensor([2, 0, 2, 1, 0])


def two_passes(image_zeta=0.2, label_zeta=0.1, guidance2="self", detach=True):
    return GlobalCascade(
        image_pass=GlobalPropagation(zeta=image_zeta, detach=detach),
        label_pass=GlobalPropagation(zeta=label_zeta, detach=detach),
        guidance2=guidance2,
    )


def cascade(image_zeta=0.2, label_zeta=0.1, local_zeta=0.3, kernel_size=3, iterations=4):
    return AffinityCascade(
        far=two_passes(image_zeta, label_zeta),
        near=LocalPropagation(kernel_size=kernel_size, zeta=local_zeta, iterations=iterations),
    )


def scene(channels=2, size=(6, 5)):
    """Three images, and five regions of them."""
    guidance_BCHW = torch.stack([field(seed, 3, *size, levels) for seed, levels in ((1, 0), (2, 4), (3, 1))])
    return images(4, 5, channels, size, 0), guidance_BCHW


def slow_second_pass(first_HW, guide_CHW, edge_E, label_zeta):
    edge_E2 = torch.tensor(pairs(edge_E, first_HW.shape[1]), dtype=torch.int64).reshape(-1, 2)
    return average(tree_bottlenecks(edge_E2, guide_CHW), label_zeta, first_HW)


def test_worked_example():
    labels = cascade(6.0, 0.5, 3.0, iterations=20)(MASK_1HW[None], IMAGE_1CHW, BOX_1HW[None])
    far = ".244025 .24402 .243978 .243978 .244025 .24402 .243978 .244549 .244025 .24402 .24402 .244551"
    near = ".312389 .308029 .026551 0 .31089 .2848 .040138 0 .312138 .255031 .239327 0"
    assert labels.far_RCHW.flatten().tolist() == pytest.approx([float(x) for x in far.split()], abs=6e-7)
    assert labels.near_RCHW.flatten().tolist() == pytest.approx([float(x) for x in near.split()], abs=6e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_worked_example_of_two_passes_by_every_backend(backend):
    far = ".244025 .24402 .243978 .243978 .244025 .24402 .243978 .244549 .244025 .24402 .24402 .244551"
    structure = minimum_spanning_tree(IMAGE_1CHW, backend=backend)
    y_RCHW = two_passes(6.0, 0.5)(MASK_1HW[None], structure)
    assert y_RCHW.flatten().tolist() == pytest.approx([float(x) for x in far.split()], abs=6e-7)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_outputs_of_both_passes(number):
    """From the image to the last result over the tree of the release; float32 sums are all that differs."""
    file = golden(f"apro_global_{number}")
    size = tuple(file["image"].shape[2:])
    edge_BE = torch.stack([codes(edge_E2, size) for edge_E2 in file["tree"]])
    bare = structure_on(edge_BE, torch.zeros(edge_BE.shape), size)
    weight_BE = edge_weights(file["image"], bare)[:, 0]
    structure = bare.reweighted(weight_BE, torch.arange(len(edge_BE)))
    both = two_passes(file["zeta_low"].item(), file["zeta_high"].item())
    torch.testing.assert_close(both(file["x"], structure), file["y_high"], rtol=0, atol=2e-6)
    own = both(file["x"], minimum_spanning_tree(file["image"]))
    torch.testing.assert_close(own, file["y_high"], rtol=0, atol=2e-6)


@fixed
@given(fields(), st.sampled_from([0.05, 0.5]), st.sampled_from([0.02, 0.3]))
def test_equals_the_formulas(guidance_CHW, image_zeta, label_zeta):
    x_RCHW, inside_RCHW = like(guidance_CHW, seed=1)[None], like(guidance_CHW, seed=2)[None]
    labels = cascade(image_zeta, label_zeta)(x_RCHW, guidance_CHW[None], inside_RCHW)
    first_HW = average(grid_bottlenecks(guidance_CHW), image_zeta, x_RCHW[0, 0])
    edge_E = minimum_spanning_tree(guidance_CHW[None]).edge_BE[0]
    second_HW = slow_second_pass(first_HW, first_HW[None], edge_E, label_zeta)
    torch.testing.assert_close(labels.far_RCHW[0, 0], second_HW, rtol=0, atol=1e-9)
    swept_HW = sweeps(window_matrix(guidance_CHW, 3, 0.3), 4, inside_RCHW[0, 0], x_RCHW[0, 0])
    torch.testing.assert_close(labels.near_RCHW[0, 0], swept_HW, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("guidance2", ["self", "prediction", "features"])
def test_the_second_pass_is_weighed_by_what_is_asked_for(guidance2, channels, backend):
    x_RCHW, guidance_BCHW = scene(channels)
    features_BCHW = images(9, 3, 4, (6, 5), 0)
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    given = {"features_BCHW": features_BCHW} if guidance2 == "features" else {}
    y_RCHW = two_passes(guidance2=guidance2)(x_RCHW, structure, image_R=IMAGE_R, **given)
    for region, image in enumerate(IMAGE_R.tolist()):
        for channel, value_HW in enumerate(x_RCHW[region]):
            first_HW = average(grid_bottlenecks(guidance_BCHW[image]), 0.2, value_HW)
            guides = {"self": first_HW[None], "prediction": x_RCHW[region], "features": features_BCHW[image]}
            expected = slow_second_pass(first_HW, guides[guidance2], structure.edge_BE[image], 0.1)
            torch.testing.assert_close(y_RCHW[region, channel], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("guidance2", ["self", "prediction", "features"])
def test_two_passes_are_the_passes_one_after_the_other(guidance2):
    x_RCHW, guidance_BCHW = scene(2)
    x_RCHW, features_BCHW = x_RCHW.float(), images(9, 3, 4, (6, 5), 0).float()
    structure = minimum_spanning_tree(guidance_BCHW.float())
    both = two_passes(guidance2=guidance2)
    given = {"features_BCHW": features_BCHW} if guidance2 == "features" else {}
    y_RCHW = both(x_RCHW, structure, image_R=IMAGE_R, **given)
    first = both.image_pass(x_RCHW, structure, image_R=IMAGE_R)
    weights = {
        "self": torch.cat([edge_weights(first[:, c : c + 1], structure, IMAGE_R) for c in range(2)], dim=1),
        "prediction": edge_weights(x_RCHW, structure, IMAGE_R),
        "features": edge_weights(features_BCHW, structure)[IMAGE_R],
    }[guidance2]
    expected = both.label_pass(first, structure, weights, image_R=IMAGE_R)
    torch.testing.assert_close(y_RCHW, expected, rtol=0, atol=1e-7)


def test_the_near_branch_is_local_propagation():
    x_RCHW, guidance_BCHW = scene()
    inside_RCHW = field(8, 5, 6, 5, 3)[:, None]
    both = cascade()
    labels = both(x_RCHW, guidance_BCHW, inside_RCHW, image_R=IMAGE_R)
    assert torch.equal(labels.near_RCHW, both.near(x_RCHW, guidance_BCHW, inside_RCHW, image_R=IMAGE_R))
    everywhere = both(x_RCHW, guidance_BCHW, image_R=IMAGE_R)
    assert torch.equal(everywhere.near_RCHW, both.near(x_RCHW, guidance_BCHW, image_R=IMAGE_R))
    assert torch.equal(everywhere.far_RCHW, labels.far_RCHW)


def test_the_far_branch_is_both_passes_over_trees_that_may_have_been_kept():
    x_RCHW, guidance_BCHW = scene()
    both, structure = cascade(), minimum_spanning_tree(guidance_BCHW)
    expected = both.far(x_RCHW, structure, image_R=IMAGE_R)
    assert torch.equal(both(x_RCHW, guidance_BCHW, image_R=IMAGE_R).far_RCHW, expected)
    kept = both(x_RCHW, guidance_BCHW, image_R=IMAGE_R, structure=structure)
    assert torch.equal(kept.far_RCHW, expected)


@fixed
@given(fields())
def test_labels_stay_in_the_range_of_the_prediction(guidance_CHW):
    for dtype in (torch.float32, torch.float64):
        x_RCHW = like(guidance_CHW)[None].to(dtype)
        far_RCHW, near_RCHW = cascade()(x_RCHW, guidance_CHW[None])
        assert far_RCHW.min() >= x_RCHW.min()
        assert far_RCHW.max() <= x_RCHW.max()
        assert near_RCHW.min() >= 0.0
        assert near_RCHW.min() >= x_RCHW.min() - 1e-6
        assert near_RCHW.max() <= x_RCHW.max() + 1e-6


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))])
def test_pixels_may_be_mirrored_and_turned_where_no_two_edges_are_equal(turn):
    guidance_BCHW, x_RCHW, inside_RCHW = (field(seed, 1, 7, 6, 0)[None] for seed in (1, 2, 3))
    plain = cascade()(x_RCHW, guidance_BCHW, inside_RCHW)
    turned = cascade()(turn(x_RCHW), turn(guidance_BCHW), turn(inside_RCHW))
    for label_RCHW, other_RCHW in zip(plain, turned, strict=True):
        torch.testing.assert_close(other_RCHW, turn(label_RCHW), rtol=0, atol=1e-10)


def test_regions_and_images_do_not_meet():
    x_RCHW, guidance_BCHW = scene()
    inside_RCHW = field(5, 5, 6, 5, 2)[:, None]
    labels = cascade()(x_RCHW, guidance_BCHW, inside_RCHW, image_R=IMAGE_R)
    for region, image in enumerate(IMAGE_R.tolist()):
        part = slice(region, region + 1)
        alone = cascade()(x_RCHW[part], guidance_BCHW[image : image + 1], inside_RCHW[part])
        torch.testing.assert_close(labels.far_RCHW[part], alone.far_RCHW, rtol=0, atol=1e-14)
        assert torch.equal(labels.near_RCHW[part], alone.near_RCHW)


def test_labels_carry_no_gradient_and_repeat_to_the_bit():
    x_RCHW, guidance_BCHW = (tensor.requires_grad_() for tensor in scene(2, (9, 8)))
    both = AffinityCascade(far=two_passes(detach=False), near=cascade().near)
    first = both(x_RCHW, guidance_BCHW, image_R=IMAGE_R)
    assert not any(label.requires_grad for label in first)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for _ in range(10):
                again = both(x_RCHW, guidance_BCHW, image_R=IMAGE_R)
                assert all(torch.equal(label, other) for label, other in zip(first, again, strict=True))
    finally:
        torch.set_num_threads(before)
    loss = (x_RCHW - first.far_RCHW).abs().sum()
    (slope_RCHW,) = torch.autograd.grad(loss, x_RCHW)
    assert torch.equal(slope_RCHW, torch.sign(x_RCHW - first.far_RCHW))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("guidance2", ["self", "prediction", "features"])
def test_two_passes_have_a_gradient(guidance2, backend):
    x_RCHW, guidance_BCHW, features_BCHW = (
        images(seed, 2, channels, (2, 3), 0).requires_grad_() for seed, channels in ((1, 2), (5, 3), (8, 2))
    )

    def function(x_RCHW, guidance_BCHW, features_BCHW):
        given = {"features_BCHW": features_BCHW} if guidance2 == "features" else {}
        structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
        return two_passes(0.4, 0.3, guidance2, detach=False)(x_RCHW, structure, **given)

    inputs = x_RCHW, guidance_BCHW, features_BCHW.requires_grad_(guidance2 == "features")
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("num_images", [0, 1])
def test_no_region_is_no_label(num_images):
    none = torch.zeros(0, 1, 6, 5)
    labels = cascade()(none, torch.rand(num_images, 3, 6, 5), none, image_R=torch.zeros(0, dtype=torch.int64))
    assert labels.far_RCHW.shape == labels.near_RCHW.shape == (0, 1, 6, 5)


@pytest.mark.parametrize("guidance2", ["self", "prediction"])
def test_no_channel_is_no_label(guidance2):
    structure = minimum_spanning_tree(torch.rand(2, 3, 6, 5))
    assert two_passes(guidance2=guidance2)(torch.zeros(2, 0, 6, 5), structure).shape == (2, 0, 6, 5)


def test_a_prediction_that_is_no_number_stays_visible_and_spoils_no_other_region():
    x_RCHW, guidance_BCHW = scene(1)
    spoiled_RCHW = x_RCHW.clone()
    spoiled_RCHW[1, 0, 3, 2] = torch.nan
    clean = cascade()(x_RCHW, guidance_BCHW, image_R=IMAGE_R)
    labels = cascade()(spoiled_RCHW, guidance_BCHW, image_R=IMAGE_R)
    others = torch.tensor([0, 2, 3, 4])
    for label_RCHW, clean_RCHW in zip(labels, clean, strict=True):
        assert label_RCHW[1].isnan().any()
        assert torch.equal(label_RCHW[others], clean_RCHW[others])


def test_unknown_guidance_is_refused():
    message = "guidance2 must be 'self', 'prediction' or 'features', got 'image'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        two_passes(guidance2="image")


@pytest.mark.parametrize("guidance2", ["self", "prediction", "features"])
def test_features_must_be_given_where_they_are_asked_for_and_nowhere_else(guidance2):
    x_RCHW, guidance_BCHW = scene()
    given = None if guidance2 == "features" else guidance_BCHW
    message = (
        f"features_BCHW must be given with guidance2='features' and not else, got guidance2={guidance2!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        two_passes(guidance2=guidance2)(
            x_RCHW, minimum_spanning_tree(guidance_BCHW), image_R=IMAGE_R, features_BCHW=given
        )
