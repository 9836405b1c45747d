"""Stage source: look at what prepare.source holds, so that DVC sees change. Run as `python -m flows.source`.

It runs on every `dvc repro`, so it does without Prefect, which takes longer to start than this takes.
"""

import sys
from pathlib import Path

from flows import settings
from tasks.errors import InputError
from tasks.redact import redact
from tasks.sources import fingerprint


def main() -> None:
    """Write the fingerprint of the source; exits with 2 where there is none."""
    try:
        how = settings.load().prepare
        fingerprint.write(how.source, how.held_out, Path("data/source/fingerprint.json"))
    except InputError as error:
        print(f"winnow: {redact(str(error))}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
