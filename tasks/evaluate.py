"""Stage evaluate. Reads data/prepare, data/embed, data/optimize and data/source; writes data/evaluate."""

from pathlib import Path

from tasks import DATA
from winnow.files import json_files
from winnow.run.decorators import gpu_task, task
from winnow.run.settings import Evaluate
from winnow.training import evaluate, shifted_tests
from winnow.training.arms import Arm
from winnow.training.classifier import Training
from winnow.training.evaluate import EvaluationJob
from winnow.training.length import Length

IMAGES, SUBSET, OUT = DATA / "prepare" / "images", DATA / "optimize" / "subset.parquet", DATA / "evaluate"
HELD_OUT = DATA / "optimize" / "held_out.parquet"


def key(how: Evaluate) -> str:
    """Names the scratch folder of the cells; one seed more makes no other folder, since it changes no other cell."""
    outside, each = DATA / "source" / "evaluate.json", how.model_copy(update={"seeds": 1})
    return evaluate.key(IMAGES, SUBSET, outside, each, held_out=HELD_OUT)


def work(how: Evaluate, scratch: Path) -> EvaluationJob:
    """What all cells have in common."""
    checkpoint = Path(how.checkpoint) if how.checkpoint else None
    training = Training(how.width, how.steps, how.batch_size, how.lr, how.flip, how.model, checkpoint)
    length = Length(how.epochs, "epochs") if how.epochs else Length(how.steps, "steps")
    tests = {name: scratch / f"test-{name}" for name in how.tests}
    return EvaluationJob(IMAGES, DATA / "embed", SUBSET, scratch / "pixels.npy", tests, training, length, HELD_OUT)


@task
def check(work: EvaluationJob, how: Evaluate, follow_links: bool) -> None:
    """Refuse what would break every cell."""
    evaluate.check(work, how.image_size, how.tests, follow_links)


@task
def decode(work: EvaluationJob, size: int) -> None:
    """Decode every image once."""
    evaluate.decode(work.images, size, work.pixels)


@task
def decode_test(work: EvaluationJob, name: str, source: str, size: int, follow_links: bool) -> None:
    """Decode the images of a shifted test set once."""
    classes = json_files.read_json(work.images / "classes.json")
    shifted_tests.decode(name, source, classes, size, work.tests[name], follow_links)


@gpu_task
def cell(work: EvaluationJob, arm: Arm, seed: int, out: Path, log: Path, *, device: str) -> None:
    """Train and measure one model."""
    evaluate.cell(work, arm, seed, out, log, device=device)


@task
def summarise(cells: list[Path]) -> None:
    """Put the results of all cells into tables."""
    evaluate.summarise(cells, IMAGES, SUBSET, DATA / "prepare" / "truth.parquet", OUT)
