"""Stage evaluate: models trained on the subset, a random one and everything. Run as `python -m flows.evaluate`."""

from pathlib import Path

from tasks import evaluate
from winnow.files import scratch
from winnow.run import cell_runs, stage
from winnow.run.decorators import flow
from winnow.run.settings import Evaluate, Settings
from winnow.training import cell_runner
from winnow.training.arms import ARMS, Arm
from winnow.training.evaluate import EvaluationJob

Cells = dict[tuple[Arm, int], Path]


@flow(name="evaluate")
def run(settings: Settings) -> None:
    """Train the cells that are not done yet, side by side, and gather them."""
    how = settings.evaluate
    with scratch.of_stage("evaluate", evaluate.key(how)) as pieces:
        work = evaluate.work(how, pieces)
        evaluate.check(work, how, settings.prepare.follow_links)
        if not work.probes:  # a probe looks at features, not at images
            _decode(work, how, settings.prepare.follow_links)
        seeds = range(settings.base.seed, settings.base.seed + how.seeds)
        cells = {(arm, seed): pieces / f"{arm}-{seed}.json" for seed in seeds for arm in ARMS}
        _train(work, cells)
        evaluate.summarise(list(cells.values()))


def _decode(work: EvaluationJob, how: Evaluate, follow_links: bool) -> None:
    evaluate.decode(work, how.image_size)
    for name, source in how.tests.items():
        evaluate.decode_test(work, name, source, how.image_size, follow_links)


def _train(work: EvaluationJob, cells: Cells) -> None:
    """Train what has no result yet."""
    todo = {cell: out for cell, out in cells.items() if not cell_runner.result(out)}
    for out in todo.values():
        out.unlink(missing_ok=True)
    running = [evaluate.cell.submit(work, *cell, out, out.with_suffix(".log")) for cell, out in todo.items()]
    names = {f"{arm}, seed {seed}": out for (arm, seed), out in todo.items()}
    cell_runs.settle(names, running, total=len(cells))


if __name__ == "__main__":
    stage.main(run, mapped=True)
