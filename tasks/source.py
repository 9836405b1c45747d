"""Stage source. Looks at what lies outside the project; writes data/source.

These are plain functions: the stage runs on every `dvc repro`, and Prefect would take longer to start than it takes.
"""

from tasks import DATA
from winnow.files import json_files, outputs
from winnow.run import closure, outside
from winnow.run.settings import Prepare, Settings
from winnow.sources import fingerprint

OUT = DATA / "source"


def images(how: Prepare) -> None:
    """Write the fingerprint of the source, so that DVC sees when it changes."""
    if made := outside.maker(how.source, "prepare", "prepare.source"):
        with outputs.whole_file(OUT / "fingerprint.json") as partial:
            json_files.write_json(partial, {"made_by": made})
        return
    fingerprint.write(how.source, how.held_out, OUT / "fingerprint.json", follow_links=how.follow_links)


def named(settings: Settings) -> None:
    """Write, a file a stage, what else parameters name: corrections, weights, checkpoints, shifted test sets."""
    for stage, content in outside.known(settings).items():
        with outputs.whole_file(OUT / f"{stage}.json") as partial:
            json_files.write_json(partial, content)


def code(settings: Settings) -> None:
    """Write, a file a stage, which modules it imports, and the defaults of parameters that params.yaml leaves out."""
    pipeline = outside.pipeline()
    with outputs.whole_folder(OUT / "code") as folder:
        for stage, start in closure.stages(pipeline).items():
            params = pipeline["stages"][stage].get("params") or []
            about = {"modules": closure.of(start), "defaults": outside.defaults(settings, params)}
            json_files.write_json(folder / f"{stage}.json", about)
