"""Stage adapt: adapters on the encoder's features. Run as `python -m flows.adapt`."""

from prefect import flow

from winnow.errors import redacted
from winnow.run import stage
from winnow.run.settings import Settings
from winnow.selection import adapt


@flow(name="adapt")
@redacted
def run(settings: Settings) -> None:
    """Adapt to the data set, as the method does."""
    recipe = adapt.Recipe(**stage.dumped(settings.adapt))
    embed, out = stage.DATA / "embed", stage.DATA / "adapt"
    method, seed = settings.optimize.method, settings.base.seed
    stage.gpu_task(adapt.run)(embed, out, recipe, method=method, seed=seed)


if __name__ == "__main__":
    stage.main(run)
