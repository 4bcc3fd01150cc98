"""The judge: pure functions from records to numbers, without torch."""
