"""What a committed segmenter is called; apart from the rest, so that who only copies one needs no torch."""

from typing import Final

SEGMENTER_SCHEMA: Final = "groundwork.segmenter/1"
"""Of a model as it was trained, and of one with the thresholds under which it is judged."""
