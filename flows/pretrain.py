"""Stage pretrain: the bundled sample's small encoder. Run as `python -m flows.pretrain`."""

from prefect import flow

from winnow.errors import redacted
from winnow.run import stage
from winnow.run.settings import Settings
from winnow.sample import encoder


@flow(name="pretrain")
@redacted
def run(settings: Settings) -> None:
    """Train a small CLIP on other digits."""
    how = stage.dumped(settings.pretrain)
    stage.gpu_task(encoder.run)(stage.DATA / "pretrain", **how, seed=settings.base.seed)


if __name__ == "__main__":
    stage.main(run)
