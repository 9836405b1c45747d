"""Stage prepare: index the images of a source. Run as `python -m flows.prepare`."""

from collections.abc import Iterable

from tasks import prepare
from winnow.run import stage
from winnow.run.decorators import flow
from winnow.run.settings import Settings
from winnow.terminal.say import one_line, say


@flow(name="prepare")
def run(settings: Settings) -> None:
    """Read the source, set aside what cannot be read, plant what is asked for."""
    source = prepare.open_source(settings.prepare)
    _say(source.notes)
    _say(prepare.read(source, settings.prepare, settings.base.seed))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        say(f"winnow prepare: {one_line(line)}")


if __name__ == "__main__":
    stage.main(run, gpu=False)
