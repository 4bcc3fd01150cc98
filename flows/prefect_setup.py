"""Prefect's own settings for a run on this machine, made before Prefect is imported.

Nothing here overrides what the user set: a server of one's own is named by PREFECT_API_URL as usual.
"""

import os
from pathlib import Path

from tasks.services.settings import Settings, private_directory


def prepare_prefect(repository: Path) -> None:
    """Keep Prefect's database and results in the project, quiet on the console, without telemetry."""
    home = private_directory(Settings.load(repository).home / "prefect")
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "groundwork",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "true",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
