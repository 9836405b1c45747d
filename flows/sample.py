"""Stage sample: the bundled data set. Run as `python -m flows.sample`."""

from prefect import flow

from flows import runtime
from flows.settings import Settings
from tasks import sample
from tasks.errors import redacted


@flow(name="sample")
@redacted
def run(settings: Settings) -> None:
    """Write the bundled digits in the layout of a data set on the hub."""
    runtime.as_task(sample.run)(runtime.DATA / "sample", seed=settings.base.seed)


if __name__ == "__main__":
    runtime.main(run, gpu=False)
