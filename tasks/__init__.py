"""What each stage does: plain functions on arrays and paths, with no workflow in them.

Importing this package switches the telemetry of the libraries below off. The three switches are not interchangeable:
MLflow reads only the word ``true``, and DVC reads only its own name.
"""

import os

for _switch in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "DVC_NO_ANALYTICS"):
    os.environ.setdefault(_switch, "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
