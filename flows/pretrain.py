"""Stage pretrain: the bundled sample's small encoder. Run as `python -m flows.pretrain`."""

from tasks import pretrain
from winnow.run import stage
from winnow.run.decorators import flow
from winnow.run.settings import Settings


@flow(name="pretrain")
def run(settings: Settings) -> None:
    """Train a small CLIP."""
    pretrain.train(settings.pretrain, settings.base.seed)


if __name__ == "__main__":
    stage.main(run)
