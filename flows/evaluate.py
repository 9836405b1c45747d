"""Stage evaluate: models trained on the subset, a random one and everything. Run as `python -m flows.evaluate`."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows import device, runtime
from flows.settings import Settings
from tasks import evaluate, files
from tasks.training.arms import ARMS
from tasks.training.classifier import Training


@flow(name="evaluate", task_runner=ThreadPoolTaskRunner(max_workers=device.slots()))  # type: ignore[arg-type]
def run(settings: Settings) -> None:
    """Train the cells that are not done yet, side by side, and gather them."""
    how = runtime.dumped(settings.evaluate)
    size, seeds = how.pop("image_size"), how.pop("seeds")
    training = Training(**how)
    images, truth = runtime.DATA / "prepare" / "images", runtime.DATA / "prepare" / "truth.parquet"
    subset = runtime.DATA / "optimize" / "subset.parquet"
    with files.scratch("evaluate", evaluate.key(images, subset, size, training)) as scratch:
        pixels = scratch / "pixels.npy"
        runtime.as_task(evaluate.decode)(images, size, pixels)
        cells = [
            (arm, seed, scratch / f"{arm}-{seed}.json")
            for seed in range(settings.base.seed, settings.base.seed + seeds)
            for arm in ARMS
        ]
        train = runtime.gpu_task(evaluate.cell)
        running = [train.submit(images, subset, pixels, *cell, training) for cell in cells]
        for future in running:
            future.result()
        runtime.as_task(evaluate.summarise)([out for *_, out in cells], subset, truth, runtime.DATA / "evaluate")


if __name__ == "__main__":
    runtime.main(run, mapped=True)
