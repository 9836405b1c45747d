"""Stage evaluate: models trained on the subset, a random one and everything. Run as `python -m flows.evaluate`."""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from winnow.compute import device
from winnow.errors import WorkError, redacted
from winnow.files import outputs
from winnow.run import progress, run_log, stage
from winnow.run.settings import Evaluate, Settings
from winnow.training import cell_runner, evaluate, shifted_tests
from winnow.training.arms import ARMS, Arm
from winnow.training.classifier import Training
from winnow.training.evaluate import Work
from winnow.training.length import Length

PREPARE, OUTSIDE = stage.DATA / "prepare", stage.DATA / "source" / "evaluate.json"
SUBSET = stage.DATA / "optimize" / "subset.parquet"


@flow(name="evaluate", task_runner=ThreadPoolTaskRunner(max_workers=device.slots()))  # type: ignore[arg-type]
@redacted
def run(settings: Settings) -> None:
    """Train the cells that are not done yet, side by side, and gather them."""
    how, images, truth = settings.evaluate, PREPARE / "images", PREPARE / "truth.parquet"
    judge = how.model_copy(update={"seeds": 1})  # another seed changes no cell
    with outputs.scratch("evaluate", evaluate.key(images, SUBSET, OUTSIDE, judge)) as scratch:
        work = _work(how, scratch)
        _look(work, how, settings.prepare.follow_links)
        seeds = range(settings.base.seed, settings.base.seed + how.seeds)
        cells = {(arm, seed): scratch / f"{arm}-{seed}.json" for seed in seeds for arm in ARMS}
        _train(work, cells)
        stage.as_task(evaluate.summarise)(list(cells.values()), images, SUBSET, truth, stage.DATA / "evaluate")


def _work(how: Evaluate, scratch: Path) -> Work:
    checkpoint = Path(how.checkpoint) if how.checkpoint else None
    training = Training(how.width, how.steps, how.batch_size, how.lr, how.flip, how.model, checkpoint)
    length = Length(how.epochs, "epochs") if how.epochs else Length(how.steps, "steps")
    tests = {name: scratch / f"test-{name}" for name in how.tests}
    return Work(PREPARE / "images", stage.DATA / "embed", SUBSET, scratch / "pixels.npy", tests, training, length)


def _look(work: Work, how: Evaluate, follow_links: bool) -> None:
    """Check, and decode what networks look at; a probe looks at features."""
    stage.as_task(evaluate.check)(work, how.image_size, how.tests, follow_links)
    if work.probes:
        return
    stage.as_task(evaluate.decode)(work.images, how.image_size, work.pixels)
    classes = outputs.read_json(work.images / "classes.json")
    for name, source in how.tests.items():
        stage.as_task(shifted_tests.decode)(name, source, classes, how.image_size, work.tests[name], follow_links)


def _train(work: Work, cells: dict[tuple[Arm, int], Path]) -> None:
    """Train what has no result yet.

    Raises:
        WorkError: cells broke; those that did not are kept.
    """
    train = stage.gpu_task(evaluate.cell)
    todo = {cell: out for cell, out in cells.items() if not cell_runner.result(out)}
    for out in todo.values():
        out.unlink(missing_ok=True)
    running = [train.submit(work, *cell, out, out.with_suffix(".log")) for cell, out in todo.items()]
    ends = progress.settle("cells", running, len(todo), lambda: sum(out.exists() for out in todo.values()))
    for out in filter(Path.exists, todo.values()):
        _tell(outputs.read_json(out))
    broken = []
    for ((arm, seed), out), error in zip(todo.items(), ends, strict=True):
        if error:
            log = out.with_suffix(".log")
            if not log.exists():  # its worker had no time to say why
                cell_runner.write_log(log, f"{arm}, seed {seed}", f"{type(error).__name__}: {error}\n")
            broken.append(f"\n  {arm}, seed {seed}: {type(error).__name__}: {error} ({log})")
    if broken:
        raise WorkError(
            f"{len(broken)} of {len(cells)} cells broke; the others are kept, and the same command tries "
            f"these again:{''.join(broken)}"
        )


def _tell(row: dict[str, Any]) -> None:
    """Say what came out of a cell, and how long it took."""
    told = {name: row[name] for name in ("arm", "seed", "accuracy", "samples_seen", "seconds")}
    run_log.write("trained", cell=told)
    words = "{arm}, seed {seed}: {accuracy:.2%}, {samples_seen:,} images seen, {seconds:.1f} s"
    get_run_logger().info(words.format(**told))


if __name__ == "__main__":
    stage.main(run, mapped=True)
