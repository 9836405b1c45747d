"""Stage source. Looks at what lies outside the project; writes data/source.

These are plain functions: the stage runs on every `dvc repro`, and Prefect would take longer to start than it takes.
"""

from tasks import DATA
from winnow.files import json_files, outputs
from winnow.run import outside
from winnow.run.settings import Prepare, Settings
from winnow.sources import fingerprint

OUT = DATA / "source"


def images(how: Prepare) -> None:
    """Write the fingerprint of the source, so that DVC sees when it changes."""
    fingerprint.write(how.source, how.held_out, OUT / "fingerprint.json", follow_links=how.follow_links)


def named(settings: Settings) -> None:
    """Write, a file a stage, what else parameters name: corrections, weights, checkpoints, shifted test sets."""
    for stage, content in outside.known(settings).items():
        with outputs.whole_file(OUT / f"{stage}.json") as partial:
            json_files.write_json(partial, content)
