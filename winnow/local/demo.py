"""Run the pipeline on the bundled sample (`make demo`), and summarize the result in a few lines."""

import sys
from pathlib import Path

from winnow.cli import show
from winnow.run import environment, pipeline, prefect_server
from winnow.terminal.ending import ended
from winnow.terminal.say import say


def main() -> None:
    """Reproduce the pipeline and describe the release; exits as DVC does if that fails."""
    environment.prepare()
    with ended():
        # With nothing to do there is no stage to report, and no need to wait for a server.
        if not pipeline.stale():
            say("Every stage is up to date.")
        else:
            with prefect_server.shared() as env:
                if code := pipeline.dvc("repro", env=env).returncode:
                    sys.exit(code)
        show.describe(Path("data/release"))


if __name__ == "__main__":
    main()
