import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast import window_shifts
from tests.models.affinity.dense import field, fields, fixed, like, sweeps, window_matrix

BOTH = [window_shifts.propagate, window_shifts.dense_propagate]


@pytest.mark.parametrize("propagate", BOTH)
@fixed
@given(fields(), st.sampled_from([0, 1, 3]), st.sampled_from([0, 1, 4]))
def test_sweeps_equal_the_matrix(propagate, guidance_CHW, reach, iterations):
    value_RHW, inside_RHW = like(guidance_CHW, seed=1, num=2), like(guidance_CHW, seed=2, num=2)
    image_R = torch.zeros(2, dtype=torch.int64)
    out_RCHW = propagate(
        value_RHW[:, None], guidance_CHW[None], inside_RHW[:, None], image_R, reach, 0.3**-2, iterations
    )
    matrix_NN = window_matrix(guidance_CHW, 2 * reach + 1, 0.3)
    for out_CHW, inside_HW, value_HW in zip(out_RCHW, inside_RHW, value_RHW, strict=True):
        expected = sweeps(matrix_NN, iterations, inside_HW, value_HW)
        torch.testing.assert_close(out_CHW[0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("propagate", BOTH)
def test_regions_find_their_image_and_share_a_mask_of_one(propagate):
    guidance_BCHW, x_RCHW = field(1, 6, 5, 4, 0).reshape(3, 2, 5, 4), field(2, 8, 5, 4, 0).reshape(4, 2, 5, 4)
    mask_1CHW = field(3, 2, 5, 4, 0)[None]
    image_R = torch.tensor([2, 0, 1, 2])
    out_RCHW = propagate(x_RCHW, guidance_BCHW, mask_1CHW, image_R, 1, 4.0, 3)
    for region, image in enumerate(image_R.tolist()):
        matrix_NN = window_matrix(guidance_BCHW[image], 3, 0.5)
        for c in range(2):
            expected = sweeps(matrix_NN, 3, mask_1CHW[0, c], x_RCHW[region, c])
            torch.testing.assert_close(out_RCHW[region, c], expected, rtol=0, atol=1e-13)


@fixed
@given(fields(), st.sampled_from([0, 1, 3]), st.sampled_from([0.02, 0.3, 5.0]))
def test_affinities_sum_to_one_and_none_is_negative(guidance_CHW, reach, zeta):
    weight_BHWK = window_shifts.window_affinity(guidance_CHW[None], reach, zeta**-2)
    assert weight_BHWK.shape == (1, *guidance_CHW.shape[1:], (2 * reach + 1) ** 2)
    assert weight_BHWK.min() >= 0.0
    total_BHW = weight_BHWK.sum(dim=3)
    torch.testing.assert_close(total_BHW, torch.ones_like(total_BHW), rtol=0, atol=1e-12)


def test_sweeps_keep_one_field_each_for_the_gradient():
    """What lies between two sweeps is computed again: a sweep keeps its field and names the shared scale."""
    kept = []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    x_RCHW = field(1, 1, 6, 5, 0)[None].requires_grad_()
    arguments = (field(2, 1, 6, 5, 0)[None], torch.ones(1, 1, 6, 5).double(), torch.zeros(1).long(), 2, 4.0)
    counts = []
    for iterations in (3, 8):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = window_shifts.propagate(x_RCHW, *arguments, iterations)
        counts.append(sum(kept))
        out.sum().backward()
    assert counts[1] - counts[0] <= 5 * (2 * 30 + 1)
