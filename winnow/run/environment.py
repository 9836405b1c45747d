"""Set the environment variables that Prefect, DVC, MLflow and torch read when they are imported.

Programs call `prepare` first; importing the library sets nothing.
"""

import os

from winnow.run import home
from winnow.terminal.say import guard_logs

DEFAULTS = {
    # Telemetry off. The switches are not interchangeable: MLflow reads only the word "true", DVC only its own name.
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Threads that wait sleep. By default they spin, and where another program has one of the cores, the many short
    # operations of small networks then take up to a hundred times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
    # For a flow that is called outside our commands, Prefect starts a server itself, and gives up after 20 seconds.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
}


def prepare() -> None:
    """Set what is not set yet, find a home that can be written to, and keep secrets out of logs.

    Call it before Prefect, DVC, MLflow or torch are imported.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    home.ensure()
    guard_logs()
