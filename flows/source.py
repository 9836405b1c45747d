"""Stage source: look at what lies outside the project, so that DVC sees change. Run as `python -m flows.source`.

In data/source/: fingerprint.json of prepare.source, and for each of prepare, embed and evaluate a file of what else it
reads that parameters name, such as corrections, weights and shifted test sets (`winnow.run.outside`). In
data/source/code/, for each stage, the modules that it imports (`winnow.run.closure`).

It runs on every `dvc repro`, so it does without Prefect, which takes longer to start than this takes.
"""

from tasks import source
from winnow.run import settings, stage_lock
from winnow.terminal.ending import ended


def main() -> None:
    """Write the fingerprints."""
    with ended():
        how = settings.load()
        with stage_lock.taken("source"):
            source.images(how.prepare)
            source.named(how)
            source.code(how)


if __name__ == "__main__":
    main()
