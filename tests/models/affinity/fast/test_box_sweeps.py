import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast import box_sweeps
from tests.models.affinity.dense import field, fields, fixed, like, sweeps, window_matrix


@pytest.fixture
def threads():
    """Set the number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def run(value_PHW, guidance_BCHW, inside_MHW, mask_P, image_P, *, reach=2, zeta=0.3, iterations=3):
    """The compiled path on tensors."""
    arrays = (tensor.numpy() for tensor in (value_PHW, guidance_BCHW, inside_MHW))
    places = (np.array(mask_P, np.int64), np.array(image_P, np.int64))
    return torch.from_numpy(box_sweeps.propagate(*arrays, *places, reach, zeta**-2, iterations))


@fixed
@given(fields(), st.sampled_from([0, 1, 3]), st.sampled_from([0, 1, 4]))
def test_sweeps_equal_the_matrix(guidance_CHW, reach, iterations):
    value_PHW, inside_MHW = like(guidance_CHW, seed=1), like(guidance_CHW, seed=2)
    out = run(value_PHW, guidance_CHW[None], inside_MHW, [0], [0], reach=reach, iterations=iterations)
    matrix_NN = window_matrix(guidance_CHW, 2 * reach + 1, 0.3)
    expected = sweeps(matrix_NN, iterations, inside_MHW[0], value_PHW[0])
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-13)


def test_fields_find_their_mask_and_image():
    guidance_BCHW = torch.stack([field(seed, 2, 9, 8, 0) for seed in range(3)])
    value_PHW, inside_MHW = field(4, 4, 9, 8, 0), (field(5, 2, 9, 8, 0) > 0.3).double()
    mask_P, image_P = [1, 0, 0, 1], [2, 0, 2, 2]
    out = run(value_PHW, guidance_BCHW, inside_MHW, mask_P, image_P)
    for number, (mask, image) in enumerate(zip(mask_P, image_P, strict=True)):
        matrix_NN = window_matrix(guidance_BCHW[image], 5, 0.3)
        expected = sweeps(matrix_NN, 3, inside_MHW[mask], value_PHW[number])
        torch.testing.assert_close(out[number], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("top", "left", "bottom", "right"), [(0, 0, 1, 1), (8, 7, 9, 8), (3, 2, 4, 7), (2, 5, 9, 6), (0, 0, 9, 8)]
)
def test_boxes_of_every_shape_and_place(top, left, bottom, right):
    guidance_CHW, value_PHW = field(1, 3, 9, 8, 0), field(2, 1, 9, 8, 0)
    inside_MHW = torch.zeros(1, 9, 8, dtype=torch.float64)
    inside_MHW[0, top:bottom, left:right] = 0.5
    inside_MHW[0, top, left] = inside_MHW[0, bottom - 1, right - 1] = 1.0
    out = run(value_PHW, guidance_CHW[None], inside_MHW, [0], [0])
    expected = sweeps(window_matrix(guidance_CHW, 5, 0.3), 3, inside_MHW[0], value_PHW[0])
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num", [1, 2, 5])
def test_strips_and_shares_give_the_same_bits(threads, num, dtype):
    """With seven threads one field of 60 rows and a halo of four becomes seven strips."""
    guidance_BCHW, value_PHW = field(1, 3, 60, 21, 0)[None].to(dtype), field(2, num, 60, 21, 0).to(dtype)
    inside_MHW = torch.zeros(num, 60, 21, dtype=dtype)
    for number in range(num):
        inside_MHW[number, number : 60 - number, 2 * number :] = 1.0
    results = []
    for count in (1, 2, 3, 7):
        threads(count)
        results.append(
            run(value_PHW, guidance_BCHW, inside_MHW, range(num), [0] * num, reach=1, iterations=4)
        )
    assert all(torch.equal(result, results[0]) for result in results)


def test_rows_are_cut_only_where_threads_are_idle_and_strips_are_tall(threads):
    box_P4 = np.array([[0, 0, 50, 10], [0, 0, 60, 10], [0, 0, 0, 0]])
    threads(4)
    jobs = box_sweeps._jobs(box_P4, np.array([0, 1]), 5)
    assert jobs == [(1, 0, 30), (1, 30, 60), (0, 0, 25), (0, 25, 50)]
    assert box_sweeps._jobs(box_P4, np.array([0, 1]), 20) == [(1, 0, 60), (0, 0, 50)]
    threads(1)
    assert box_sweeps._jobs(box_P4, np.array([0, 1]), 5) == [(1, 0, 60), (0, 0, 50)]
    assert box_sweeps._jobs(box_P4, np.array([], np.int64), 5) == []


def test_arguments_are_left_as_they_are():
    arguments = [field(0, 2, 4, 5, 0)[None], field(1, 1, 4, 5, 0), field(2, 1, 4, 5, 2)]
    copies = [argument.clone() for argument in arguments]
    run(arguments[1], arguments[0], arguments[2], [0], [0])
    assert all(torch.equal(argument, copy) for argument, copy in zip(arguments, copies, strict=True))
