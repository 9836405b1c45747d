"""Stage optimize. Reads data/score, data/embed and the corrections in data/prepare; writes data/optimize."""

from tasks import DATA
from winnow.run.decorators import gpu_task
from winnow.run.settings import Optimize
from winnow.selection import optimize


@gpu_task
def choose(how: Optimize, *, device: str) -> None:
    """Choose the subset that fits the budget."""
    corrections = DATA / "prepare" / "corrections.parquet"
    optimize.run(DATA / "score", DATA / "embed", corrections, DATA / "optimize", **dict(how), device=device)
