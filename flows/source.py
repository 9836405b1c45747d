"""Stage source: look at what lies outside the project, so that DVC sees change. Run as `python -m flows.source`.

In data/source/: fingerprint.json of prepare.source, and evaluate.json of evaluate's checkpoint and shifted test sets.

It runs on every `dvc repro`, so it does without Prefect, which takes longer to start than this takes.
"""

from pathlib import Path
from typing import Any

from winnow.errors import InputError
from winnow.files import outputs
from winnow.run import settings, stage_lock
from winnow.run.settings import Evaluate
from winnow.sources import fingerprint
from winnow.terminal.ending import ended

OUT = Path("data/source")


def main() -> None:
    """Write the fingerprints."""
    with ended():
        how = settings.load()
        with stage_lock.taken("source"):
            fingerprint.write(
                how.prepare.source,
                how.prepare.held_out,
                OUT / "fingerprint.json",
                follow_links=how.prepare.follow_links,
            )
            with outputs.whole_file(OUT / "evaluate.json") as partial:
                outputs.write_json(partial, judged_by(how.evaluate, how.prepare.follow_links))


def judged_by(how: Evaluate, follow_links: bool = False) -> dict[str, Any]:
    """What evaluate reads beside results of other stages, by content.

    Raises:
        InputError: the checkpoint or a test set cannot be found.
    """
    found: dict[str, Any] = {"checkpoint": None, "tests": {}}
    if how.checkpoint:
        if not Path(how.checkpoint).is_file():
            raise InputError(f"evaluate.checkpoint: {how.checkpoint} does not exist")
        found["checkpoint"] = outputs.file_sha256(Path(how.checkpoint))
    for name, source in how.tests.items():
        try:
            found["tests"][name] = fingerprint.of(source, follow_links=follow_links)["sha256"]
        except InputError as error:
            raise InputError(f"evaluate.tests.{name}: {str(error).removeprefix('prepare.source: ')}") from error
    return found


if __name__ == "__main__":
    main()
