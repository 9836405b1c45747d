"""Stage score. Reads data/embed and data/adapt; writes data/score."""

from pathlib import Path

from tasks import DATA
from winnow.run.decorators import gpu_task, task
from winnow.selection import held_out, judge, near_duplicates, score

EMBED, ADAPT, OUT = DATA / "embed", DATA / "adapt", DATA / "score"


@gpu_task
def classes(span: tuple[int, int], scratch: Path, neighbours: float, *, device: str) -> None:
    """Score the samples of some classes."""
    score.classes(EMBED, ADAPT, span, scratch, neighbours=neighbours, device=device)


@task
def gather(scratch: Path) -> None:
    """Put the scores of all classes into one table."""
    score.gather(EMBED, ADAPT, scratch, OUT)


@gpu_task
def duplicates(cosine: float, *, device: str) -> None:
    """Find the pairs of samples whose features are at least this similar."""
    near_duplicates.run(EMBED, OUT / "scores.parquet", OUT / "near_duplicates.parquet", cosine=cosine, device=device)


@gpu_task
def judge_held_out(cosine: float, *, device: str) -> None:
    """Judge the labels of held-out images, and find those that are nearly the same as one to choose from."""
    judge.run(EMBED, ADAPT / score.ADAPTERS, OUT / held_out.TABLE, cosine=cosine, device=device)
