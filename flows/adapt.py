"""Stage adapt: adapters on the encoder's features. Run as `python -m flows.adapt`."""

from tasks import adapt
from winnow.run import stage
from winnow.run.decorators import flow
from winnow.run.settings import Settings


@flow(name="adapt")
def run(settings: Settings) -> None:
    """Adapt to the data set, as the method does."""
    adapt.fit(settings.adapt, settings.optimize.method, settings.base.seed)


if __name__ == "__main__":
    stage.main(run)
