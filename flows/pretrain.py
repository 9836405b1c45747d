"""Stage pretrain: the bundled sample's small encoder. Run as `python -m flows.pretrain`."""

from prefect import flow

from flows import runtime
from flows.settings import Settings
from tasks import pretrain
from tasks.errors import redacted


@flow(name="pretrain")
@redacted
def run(settings: Settings) -> None:
    """Train a small CLIP on other digits."""
    how = runtime.dumped(settings.pretrain)
    runtime.gpu_task(pretrain.run)(runtime.DATA / "pretrain", **how, seed=settings.base.seed)


if __name__ == "__main__":
    runtime.main(run)
