"""Parts for the tests that talk to MLflow."""

import json
import socket


class Killed(BaseException):
    """Stands for kill -9: no handler of the code under test catches it."""


class MortalClient:
    """An MLflow client whose process dies before its call number ``lives`` + 1."""

    def __init__(self, client, lives):
        self.client, self.lives = client, lives

    def __getattr__(self, name):
        method = getattr(self.client, name)

        def call(*arguments, **keywords):
            if self.lives == 0:
                raise Killed
            self.lives -= 1
            return method(*arguments, **keywords)

        return call


def dead_port():
    """Return an address where nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def write_history(path, steps):
    lines = [{"step": step, "loss": 1.0 / step, "loss_cls": 0.5, "seconds": 0.25 * step} for step in steps]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def points(tracker, run_id, name="train.loss"):
    """Return the (step, value) pairs of a curve, as often as MLflow holds them."""
    return [(metric.step, metric.value) for metric in tracker.client.get_metric_history(run_id, name)]


def runs_of(tracker):
    return tracker.client.search_runs([tracker.experiment_id])
