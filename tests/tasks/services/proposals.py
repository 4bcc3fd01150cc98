"""Proposals for the tests of the ledger."""

from tasks.services.ledger_entry import Proposal


def proposal(name="a", **changes):
    values = {
        "kind": "promote",
        "model": "segmenter",
        "bundle_id": f"bundle-{name}",
        "model_sha256": "0" * 64,
        "mlflow_version": "1",
        "decision_id": f"decision-{name}",
        "dataset_sha256": "1" * 64,
        "metrics": {"mask.ap": 0.5},
        "who": "ada@host",
        "why": "better in every floor",
    }
    return Proposal(**(values | changes))
