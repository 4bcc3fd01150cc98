from pathlib import Path

from models.blocks.precision import has_fast_bfloat16


def test_the_processor_is_asked():
    assert isinstance(has_fast_bfloat16(), bool)


def test_answer_is_that_of_the_kernel():
    flags = Path("/proc/cpuinfo")
    if flags.exists() and "avx512_bf16" not in flags.read_text():
        assert not has_fast_bfloat16()
