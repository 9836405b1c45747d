"""Stage sample: the bundled data set. Run as `python -m flows.sample`."""

from tasks import sample
from winnow.run import stage
from winnow.run.decorators import flow
from winnow.run.settings import Settings


@flow(name="sample")
def run(settings: Settings) -> None:
    """Write the bundled digits."""
    sample.write(settings.base.seed)


if __name__ == "__main__":
    stage.main(run, gpu=False)
