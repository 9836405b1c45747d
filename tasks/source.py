"""Stage source. Looks at what lies outside the project; writes data/source.

These are plain functions: the stage runs on every `dvc repro`, and Prefect would take longer to start than it takes.
"""

from tasks import DATA
from winnow.files import json_files, outputs
from winnow.run.settings import Evaluate, Prepare
from winnow.sources import fingerprint

OUT = DATA / "source"


def images(how: Prepare) -> None:
    """Write the fingerprint of the source, so that DVC sees when it changes."""
    fingerprint.write(how.source, how.held_out, OUT / "fingerprint.json", follow_links=how.follow_links)


def judged_by(how: Evaluate, follow_links: bool) -> None:
    """Write the fingerprints of the checkpoint and the shifted test sets that evaluate reads."""
    with outputs.whole_file(OUT / "evaluate.json") as partial:
        json_files.write_json(partial, fingerprint.judged_by(how.checkpoint, how.tests, follow_links=follow_links))
