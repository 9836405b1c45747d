"""Stage pretrain. Writes data/pretrain, a small encoder for the bundled digits."""

from tasks import DATA
from winnow.run.decorators import gpu_task
from winnow.run.settings import Pretrain
from winnow.sample import encoder


@gpu_task
def train(how: Pretrain, seed: int, *, device: str) -> None:
    """Train a small CLIP on other digits."""
    encoder.run(DATA / "pretrain", **dict(how), seed=seed, device=device)
