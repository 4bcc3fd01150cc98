"""One line at a time, to the person at the terminal and to the log of the flow run."""

import logging

from tasks.steps import LOGGER


def say(line: str) -> None:
    """Tell what is going on."""
    logging.getLogger(LOGGER).info("%s", line)
