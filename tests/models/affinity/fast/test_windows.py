import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast.windows import sweep, window_affinity
from tests.models.affinity.dense import field, fields, fixed, like, sweeps, window_matrix


def affinities(guidance_CHW, reach, zeta):
    out = np.zeros((*guidance_CHW.shape[1:], (2 * reach + 1) ** 2))
    window_affinity(guidance_CHW.numpy(), reach, zeta, out)
    return out


@fixed
@given(fields(), st.sampled_from([0, 1, 2, 7]), st.sampled_from([0.05, 0.3, 5.0]))
def test_each_place_holds_the_affinity_of_its_neighbour(guidance_CHW, reach, zeta):
    out_HWK = affinities(guidance_CHW, reach, zeta)
    matrix_NN = window_matrix(guidance_CHW, 2 * reach + 1, zeta)
    _, height, width = guidance_CHW.shape
    for y in range(height):
        for x in range(width):
            for place in range((2 * reach + 1) ** 2):
                v, u = y + place // (2 * reach + 1) - reach, x + place % (2 * reach + 1) - reach
                within = 0 <= v < height and 0 <= u < width
                expected = float(matrix_NN[y * width + x, v * width + u]) if within else 0.0
                assert out_HWK[y, x, place] == pytest.approx(expected, abs=1e-14)


@fixed
@given(fields(), st.sampled_from([0, 1, 3]), st.sampled_from([0, 1, 4]))
def test_sweeps_equal_the_matrix(guidance_CHW, reach, iterations):
    value_HW, inside_HW = like(guidance_CHW, seed=1)[0], like(guidance_CHW, seed=2)[0]
    out = sweep(affinities(guidance_CHW, reach, 0.3), reach, iterations, inside_HW.numpy(), value_HW.numpy())
    expected = sweeps(window_matrix(guidance_CHW, 2 * reach + 1, 0.3), iterations, inside_HW, value_HW)
    torch.testing.assert_close(torch.from_numpy(out), expected, rtol=0, atol=1e-13)


def test_arguments_are_left_as_they_are():
    guidance_CHW = field(0, 2, 4, 5, 0)
    weights, inside, value = affinities(guidance_CHW, 1, 0.3), np.ones((4, 5)), np.full((4, 5), 0.5)
    value[0, 0] = 0.0
    copies = [array.copy() for array in (weights, inside, value)]
    sweep(weights, 1, 3, inside, value)
    for array, copy in zip((weights, inside, value), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
