"""Run a stage: settings, server, lock, log."""

import time

STARTED = time.time()  # a module saved after this may have been imported before that
