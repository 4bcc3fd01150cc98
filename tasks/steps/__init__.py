"""Prefect tasks: retries, timeouts and tags, around plain functions."""

LOGGER = "groundwork"
"""Name of the logger on which steps and operations say what is going on."""
