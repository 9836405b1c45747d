"""Stage sample: the bundled data set. Run as `python -m flows.sample`."""

from prefect import flow

from winnow.errors import redacted
from winnow.run import stage
from winnow.run.settings import Settings
from winnow.sample import digits


@flow(name="sample")
@redacted
def run(settings: Settings) -> None:
    """Write the bundled digits in the layout of a data set on the hub."""
    stage.as_task(digits.run)(stage.DATA / "sample", seed=settings.base.seed)


if __name__ == "__main__":
    stage.main(run, gpu=False)
