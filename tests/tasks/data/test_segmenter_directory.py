"""Models of every release are found by this name."""

from tasks.data.segmenter_directory import SEGMENTER_SCHEMA


def test_the_name_stays():
    assert SEGMENTER_SCHEMA == "groundwork.segmenter/1"
