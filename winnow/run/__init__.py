"""How a stage is run: settings, server, lock, log."""

import os
import time

from winnow.run import home
from winnow.terminal.say import guard_logs

STARTED = time.time()  # a module saved after this may have been imported before that

home.ensure()  # before Prefect is imported, which reads where its home is at that moment
# For a flow that is called outside our commands, Prefect starts a server itself, and gives up after 20 seconds.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "300")
guard_logs()  # here, since a worker of Prefect or Dask imports a flow without any of our commands
