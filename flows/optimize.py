"""Stage optimize: the subset for the budget. Run as `python -m flows.optimize`."""

from tasks import optimize
from winnow.run import stage
from winnow.run.decorators import flow
from winnow.run.settings import Settings


@flow(name="optimize")
def run(settings: Settings) -> None:
    """Choose the subset."""
    optimize.choose(settings.optimize)


if __name__ == "__main__":
    stage.main(run)
