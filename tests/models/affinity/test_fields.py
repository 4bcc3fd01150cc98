"""Bandwidths, and fields brought to their trees; what a propagation refuses is in ``test_global_inputs``."""

import doctest
import re

import pytest
import torch

from models.affinity import fields
from models.affinity.fields import check_bandwidth, check_fields, divide_products, group_rows, inverse_square
from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from tests.models.affinity.dense import images


def test_example_of_the_docstring_holds():
    result = doctest.testmod(fields)
    assert (result.attempted, result.failed) == (1, 0)


@pytest.mark.parametrize(("make", "name"), [(GlobalPropagation, "zeta"), (TreeFilter, "sigma")])
def test_bandwidth_must_be_a_positive_number(make, name):
    for value in (0.0, -1.0, float("nan"), torch.tensor(0.0), torch.tensor(-2.0), torch.tensor(torch.nan)):
        message = f"{name} must be positive, got {float(value)}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            make(**{name: value})
    for shape in ((1,), (2, 3)):
        message = f"{name} must be a number or a tensor without dimensions, got shape {shape}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            make(**{name: torch.ones(shape)})
    check_bandwidth(name, torch.tensor(2))


def test_inverse_squares_are_finite_and_rise_as_bandwidths_fall():
    zetas = [1e-320, 1e-200, 1e-160, 1e-149, 0.01, 1.0, 3, 1e10, 1e160, 1e200]
    rates = [inverse_square(zeta) for zeta in zetas]
    assert all(0.0 <= rate <= 1e300 for rate in rates)
    assert sorted(rates, reverse=True) == rates
    assert rates[4:7] == pytest.approx([1e4, 1.0, 1 / 9], rel=1e-15)
    for zeta, rate in zip(zetas, rates, strict=True):
        given = torch.tensor(zeta, dtype=torch.float64)
        assert inverse_square(given).item() == pytest.approx(rate, rel=1e-15)
    assert inverse_square(torch.tensor(0.3)).item() == inverse_square(float(torch.tensor(0.3)))


def test_inverse_squares_have_a_gradient():
    zeta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(inverse_square, zeta)


def test_fields_that_fit_pass():
    structure = minimum_spanning_tree(torch.zeros(2, 1, 3, 4))
    check_fields(torch.zeros(5, 3, 3, 4), structure, None)
    for channels in (1, 3):
        check_fields(torch.zeros(5, 3, 3, 4), structure, torch.zeros(5, channels, 11))


@pytest.mark.parametrize("image_R", [[0, 1, 2], [2, 1, 0], [2, 0, 2, 0, 2], [1]])
def test_products_are_taken_tree_by_tree_and_divided_by_row_sums(image_R):
    matrix_BNN = images(3, 3, 1, (4, 4), 0)[:, 0] + 1.0
    x_RCN = images(8, len(image_R), 2, (1, 4), 0)[:, :, 0]
    y_RCN = divide_products(lambda x_BXN: x_BXN @ matrix_BNN.mT, x_RCN, torch.tensor(image_R), 3)
    assert y_RCN.shape == x_RCN.shape
    for x_CN, y_CN, image in zip(x_RCN, y_RCN, image_R, strict=True):
        expected_CN = x_CN @ matrix_BNN[image].mT / matrix_BNN[image].sum(dim=1)
        torch.testing.assert_close(y_CN, expected_CN, rtol=1e-14, atol=0)


@pytest.mark.parametrize("image_R", [[0, 0, 1], [2, 0, 2], [1, 0, 2]])
def test_rows_of_a_tree_stand_together_and_come_back(image_R):
    x_RCN = torch.arange(24.0).reshape(3, 2, 4)
    rows = group_rows(x_RCN, torch.tensor(image_R), 3, torch.float32)
    for tree, (begin, end) in enumerate(zip(rows.bounds_B1[:-1], rows.bounds_B1[1:], strict=True)):
        mine = [region for region, image in enumerate(image_R) if image == tree]
        assert torch.equal(rows.value_XN[begin:end], x_RCN[mine].reshape(-1, 4))
    assert torch.equal(rows.ungroup(rows.value_XN), x_RCN)
