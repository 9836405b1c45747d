"""Stage adapt: adapters on the encoder's features. Run as `python -m flows.adapt`."""

from prefect import flow

from flows import runtime
from flows.settings import Settings
from tasks import adapt
from tasks.errors import redacted


@flow(name="adapt")
@redacted
def run(settings: Settings) -> None:
    """Adapt to the data set, as the method does."""
    recipe = adapt.Recipe(**runtime.dumped(settings.adapt))
    embed, out = runtime.DATA / "embed", runtime.DATA / "adapt"
    method, seed = settings.optimize.method, settings.base.seed
    runtime.gpu_task(adapt.run)(embed, out, recipe, method=method, seed=seed)


if __name__ == "__main__":
    runtime.main(run)
