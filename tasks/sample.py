"""Stage sample. Writes data/sample, the bundled digits."""

from tasks import DATA
from winnow.run.decorators import task
from winnow.sample import digits


@task
def write(seed: int) -> None:
    """Write the digits in the layout of a data set on the hub."""
    digits.run(DATA / "sample", seed=seed)
