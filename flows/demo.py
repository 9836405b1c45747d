"""What `make demo` runs: the pipeline on the bundled sample, then what came out of it, in a few lines."""

import sys
from pathlib import Path

from ruamel.yaml import YAML

from flows import server, show


def main() -> None:
    """Reproduce the pipeline and describe the release; exits as DVC does if that fails."""
    # With nothing to do there is no stage to report, and no need to wait for a server.
    if up_to_date():
        print("Every stage is up to date.")
    else:
        with server.shared() as env:
            if code := server.dvc("repro", env=env).returncode:
                sys.exit(code)
    show.describe(Path("data/release"))


def up_to_date() -> bool:
    """Whether no stage has anything to do, but for `source`, which looks at the source every time."""
    others = [stage for stage in YAML(typ="safe").load(Path("dvc.yaml"))["stages"] if stage != "source"]
    looked = server.dvc("repro", "--quiet", "--single-item", "source")
    return looked.returncode == 0 and server.dvc("status", "--quiet", *others).returncode == 0


if __name__ == "__main__":
    main()
