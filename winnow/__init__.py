"""Keep the part of a labelled image data set that is worth training on: the library and its command.

Importing this package comes before importing the libraries below, and sets what they read from the environment then.
"""

import os

# Telemetry off. The switches are not interchangeable: MLflow reads only the word "true", DVC only its own name.
for _switch in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "DVC_NO_ANALYTICS"):
    os.environ.setdefault(_switch, "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

# Threads that wait sleep. By default they spin, and where another program has one of the cores, the many short
# operations of small networks then take up to a hundred times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
