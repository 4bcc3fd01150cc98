import pytest
import torch
from torch.nn import functional

from models.affinity.cascade import GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.tree_filter import TreeFilter
from models.segmentation.semantic_losses import (
    PADDING,
    UNLABELLED,
    SemanticAffinityLoss,
    TreeEnergyLoss,
    partial_cross_entropy,
    unlabelled_distance,
)


def two_halves() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image with a dark and a bright half, one label in each, and logits that know nothing."""
    image = torch.zeros(1, 3, 6, 8)
    image[..., 4:] = 1.0
    label = torch.full((1, 6, 8), UNLABELLED)
    label[0, 2, 1], label[0, 3, 6] = 0, 1
    return image, label, torch.zeros(1, 2, 6, 8)


def affinity_loss(guidance2: str = "prediction", **given: object) -> SemanticAffinityLoss:
    far = GlobalCascade(
        image_pass=GlobalPropagation(zeta=0.01),
        label_pass=GlobalPropagation(zeta=0.05),
        guidance2=guidance2,
    )
    return SemanticAffinityLoss(
        **({"far": far, "near": LocalPropagation(kernel_size=3, zeta=0.15, iterations=2)} | given)
    )


def test_cross_entropy_sees_labelled_pixels_alone() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    label = torch.full((2, 4, 5), UNLABELLED)
    label[0, 1, 2], label[1, 3, 0], label[1, 0, 0] = 2, 0, PADDING
    picked = torch.stack((logits[0, :, 1, 2], logits[1, :, 3, 0]))
    expected = functional.cross_entropy(picked, torch.tensor([2, 0]))
    torch.testing.assert_close(partial_cross_entropy(logits, label), expected)


def test_without_a_label_there_is_nothing_to_learn() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = partial_cross_entropy(logits, torch.full((1, 2, 2), UNLABELLED))
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


@pytest.mark.parametrize("bad", [3, -3])
def test_a_label_that_is_no_class_is_named(bad: int) -> None:
    label = torch.tensor([[[0, bad]]])
    with pytest.raises(ValueError, match=r"classes from 0 to 2, -1 \(unlabelled\) or -2"):
        partial_cross_entropy(torch.zeros(1, 3, 1, 2), label)


def test_labels_of_another_size_are_named() -> None:
    with pytest.raises(ValueError, match=r"must have shape \(1, 2, 2\), got \(1, 2, 3\)"):
        partial_cross_entropy(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 3, dtype=torch.int64))


def test_two_labels_pull_their_halves() -> None:
    """Nothing is predicted yet: the labels alone decide where each half should go."""
    image, label, logits = two_halves()
    logits.requires_grad_()
    far, _ = affinity_loss("self")(logits, label, image)
    far.backward()
    open_pixels = label[0] == UNLABELLED
    left, right = open_pixels.clone(), open_pixels.clone()
    left[:, 4:], right[:, :4] = False, False
    assert (logits.grad[0, 0][left] < 0).all()
    assert (logits.grad[0, 1][right] < 0).all()
    assert not logits.grad[0, :, 2, 1].any()  # labelled pixels are the business of the cross-entropy


def test_without_clamping_an_even_prediction_stays() -> None:
    image, label, logits = two_halves()
    far, near = affinity_loss(clamp_labels=False)(logits, label, image)
    assert far.item() == pytest.approx(0.0, abs=1e-6)
    assert near.item() == pytest.approx(0.0, abs=1e-6)


def test_trust_weighs_predictions_beside_labels() -> None:
    """By hand: one colour, so every pixel averages all: 2 labels of weight 1 and 10 guesses of weight 0.1."""
    image = torch.zeros(1, 3, 3, 4)
    label = torch.full((1, 3, 4), UNLABELLED)
    label[0, 1, 1], label[0, 1, 2] = 1, 1
    logits = torch.zeros(1, 2, 3, 4)
    flat = GlobalCascade(
        image_pass=GlobalPropagation(zeta=1.0), label_pass=GlobalPropagation(zeta=1e6), guidance2="prediction"
    )
    for trust, expected in ((1.0, (2 + 10 * 0.5) / 12), (0.1, (2 + 10 * 0.1 * 0.5) / (2 + 10 * 0.1))):
        far, _ = affinity_loss(far=flat, near=None, prediction_trust=trust)(logits, label, image)
        assert far.item() == pytest.approx(2 * (expected - 0.5), abs=1e-5)


def test_trust_weighs_neighbours_in_windows() -> None:
    """By hand: three of one colour in a row, the middle labelled; an end averages itself and the middle."""
    image = torch.zeros(1, 3, 1, 3)
    label = torch.tensor([[[UNLABELLED, 1, UNLABELLED]]])
    window = LocalPropagation(kernel_size=3, zeta=1.0, iterations=1)
    for trust, expected in ((1.0, 0.75), (0.25, (1 + 0.25 * 0.5) / 1.25)):
        loss = affinity_loss(near=window, prediction_trust=trust)
        _, near = loss(torch.zeros(1, 2, 1, 3), label, image)
        assert near.item() == pytest.approx(2 * (expected - 0.5), abs=1e-5)


@pytest.mark.parametrize("guidance2", ["self", "prediction", "features"])
def test_trust_of_almost_one_is_almost_the_published_mode(guidance2: str) -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(2, 3, 5, 6, generator=generator)
    label = torch.randint(-1, 3, (2, 5, 6), generator=generator)
    logits = torch.randn(2, 3, 5, 6, generator=generator)
    features = torch.rand(2, 4, 5, 6, generator=generator) if guidance2 == "features" else None
    published = affinity_loss(guidance2)(logits, label, image, features)
    near_one = affinity_loss(guidance2, prediction_trust=1.0 - 1e-6)(logits, label, image, features)
    torch.testing.assert_close(near_one, published, rtol=1e-4, atol=1e-5)


def test_with_trust_padding_weighs_nothing_inside_windows() -> None:
    """An even prediction between padding stays; in the published mode padding pulls it to nothing."""
    image, label, logits = two_halves()
    label[:] = PADDING
    label[0, 2, 3] = UNLABELLED
    near = {trust: affinity_loss(prediction_trust=trust)(logits, label, image)[1] for trust in (0.1, 1.0)}
    assert near[0.1].item() == pytest.approx(0.0, abs=1e-6)
    assert near[1.0].item() > 0.5


@pytest.mark.parametrize("trust", [0.0, 1.5, float("nan")])
def test_a_trust_without_a_meaning_is_named(trust: float) -> None:
    with pytest.raises(ValueError, match=rf"prediction_trust must be in \(0, 1\], got {trust}"):
        affinity_loss(prediction_trust=trust)


def test_trust_needs_clamped_labels() -> None:
    with pytest.raises(ValueError, match=r"must be 1 without them, got 0\.5"):
        affinity_loss(prediction_trust=0.5, clamp_labels=False)


def test_trust_needs_the_features_that_guide() -> None:
    image, label, logits = two_halves()
    with pytest.raises(ValueError, match=r"must be given with guidance2='features'"):
        affinity_loss("features", prediction_trust=0.5)(logits, label, image)


def test_the_window_branch_can_be_off() -> None:
    image, label, logits = two_halves()
    far, near = affinity_loss(near=None)(logits, label, image)
    assert far.item() > 0
    assert near.item() == 0


def test_padding_is_not_counted_and_gives_nothing() -> None:
    image, label, logits = two_halves()
    padded = label.clone()
    padded[:, :, 7] = PADDING
    changed = logits.clone()
    changed[:, 1, :, 7] = 0.5
    loss = affinity_loss(near=None, clamp_labels=False)
    assert loss(changed, padded, image)[0] < loss(changed, label, image)[0]


def test_tree_energy_pulls_to_the_filtered_prediction_and_teaches_the_embedding() -> None:
    generator = torch.Generator().manual_seed(4)
    image, label, _ = two_halves()
    logits = torch.randn(1, 2, 6, 8, generator=generator, requires_grad=True)
    features = torch.rand(1, 4, 6, 8, generator=generator, requires_grad=True)
    loss = TreeEnergyLoss(
        colour_filter=TreeFilter(sigma=0.02, detach=False), feature_filter=TreeFilter(sigma=1.0, detach=False)
    )(logits, label, image, features)
    loss.backward()
    assert 0.0 < loss.item() < 2.0
    assert torch.isfinite(features.grad).all()
    assert features.grad.any()


def test_tree_energy_is_zero_where_the_prediction_is_even() -> None:
    image, label, logits = two_halves()
    loss = TreeEnergyLoss(colour_filter=TreeFilter(sigma=0.02), feature_filter=TreeFilter(sigma=1.0))
    assert loss(logits, label, image, image).item() == pytest.approx(0.0, abs=1e-6)


def test_distance_is_summed_over_classes_and_averaged_over_open_pixels() -> None:
    first = torch.tensor([[[[1.0, 0.5]], [[0.0, 0.5]]]])
    second = torch.tensor([[[[0.0, 0.0]], [[1.0, 1.0]]]])
    assert unlabelled_distance(first, second, torch.tensor([[[UNLABELLED, UNLABELLED]]])).item() == 1.5
    assert unlabelled_distance(first, second, torch.tensor([[[UNLABELLED, 1]]])).item() == 2.0
    assert unlabelled_distance(first, second, torch.tensor([[[0, PADDING]]])).item() == 0.0
