"""Stage prepare: the source becomes an index of its images. Run as `python -m flows.prepare`."""

from collections.abc import Iterable
from pathlib import Path

from prefect import flow

from winnow import sources
from winnow.errors import redacted
from winnow.images import prepare
from winnow.run import stage
from winnow.run.settings import Settings
from winnow.terminal.say import one_line, say


@flow(name="prepare")
@redacted
def run(settings: Settings) -> None:
    """Read the source, set aside what cannot be read, plant what is asked for."""
    how = stage.dumped(settings.prepare)
    source = sources.open_source(
        how.pop("source"), label=how.pop("label"), held_out=how.pop("held_out"), follow_links=how.pop("follow_links")
    )
    decisions = Path(how.pop("corrections"))
    _say(source.notes)
    _say(
        stage.as_task(prepare.run)(
            source, stage.DATA / "prepare", **how, seed=settings.base.seed, corrections=decisions
        )
    )


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        say(f"winnow prepare: {one_line(line)}")


if __name__ == "__main__":
    stage.main(run, gpu=False)
