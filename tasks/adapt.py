"""Stage adapt. Reads data/embed; writes data/adapt."""

from tasks import DATA
from winnow.run.decorators import gpu_task
from winnow.run.settings import Adapt
from winnow.selection import adapt
from winnow.selection.methods import Method, Recipe


@gpu_task
def fit(how: Adapt, method: Method, seed: int, *, device: str) -> None:
    """Fit adapters to the data set, as the method does."""
    recipe = Recipe(**dict(how))
    adapt.run(DATA / "embed", DATA / "adapt", recipe, method=method, seed=seed, device=device)
