"""Which flow runs where and when: ``python -m flows.deployments`` serves them until it is stopped."""

import os
from pathlib import Path
from typing import cast

from flows.prefect_setup import prepare_prefect

NIGHTLY = "0 2 * * *"
"""Cron, local time."""


def main() -> None:
    """Serve the flows from this machine, against the Prefect server that PREFECT_API_URL names."""
    root = Path.cwd()
    prepare_prefect(root)
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    from prefect import serve
    from prefect.deployments.runner import RunnerDeployment

    from flows.nightly_flow import nightly_segmenter
    from flows.release_flow import release_segmenter

    where = {"repository": str(root)}
    nightly = nightly_segmenter.to_deployment("nightly", cron=NIGHTLY, parameters=where)
    release = release_segmenter.to_deployment("release", parameters=where)
    serve(cast(RunnerDeployment, nightly), cast(RunnerDeployment, release), limit=1)


if __name__ == "__main__":
    main()
