"""Arrays of one block neither overlap nor share a cache line."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from models.affinity.fast import memory
from models.affinity.fast.memory import allot, scratch


def test_arrays_have_their_shapes_and_types_and_do_not_overlap():
    parts = (((3, 5), np.float32), ((7,), np.uint8), ((0, 4), np.float64), ((2, 2), np.int64))
    arrays = allot(*parts)
    for number, (array, (shape, kind)) in enumerate(zip(arrays, parts, strict=True)):
        assert array.shape == shape
        assert array.dtype == kind
        assert array.flags.c_contiguous
        assert array.flags.writeable
        array[...] = number
    for number, array in enumerate(arrays):
        assert (array == number).all()


def test_arrays_start_at_a_cache_line_of_the_block():
    arrays = allot(((1,), np.uint8), ((3,), np.float64), ((65,), np.uint8), ((2,), np.int32))
    first = arrays[0].__array_interface__["data"][0]
    assert [array.__array_interface__["data"][0] - first for array in arrays] == [0, 64, 128, 256]


def test_the_block_outlives_its_other_arrays():
    kept = allot(((4,), np.float64), ((4,), np.float64))[1]
    kept[:] = 2.5
    allot(((1000,), np.float64))[0][:] = 0.0
    assert (kept == 2.5).all()


def test_a_thread_hands_its_block_out_again():
    first = scratch(((100,), np.float64), ((3,), np.uint8))
    again = scratch(((50,), np.int32))
    assert again[0].__array_interface__["data"][0] == first[0].__array_interface__["data"][0]
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(scratch, ((50,), np.int32)).result()
    assert not np.shares_memory(other[0], again[0])


def test_a_block_that_is_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(memory, "_KEEP", 100)
    small, large = scratch(((50,), np.uint8)), scratch(((101,), np.uint8))
    assert not np.shares_memory(small[0], large[0])
    assert large[0].shape == (101,)
