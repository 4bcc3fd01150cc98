import logging

from tasks.steps.narration import say


def test_what_is_said_goes_to_the_log_unformatted(caplog):
    with caplog.at_level(logging.INFO, logger="groundwork"):
        say("100 % of %s")
    assert caplog.messages == ["100 % of %s"]
