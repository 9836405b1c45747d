"""Stage evaluate: models trained on the subset, on a random one and on everything. Run as `python -m flows.evaluate`."""

from prefect import flow

from flows import device, runtime
from flows.settings import Settings
from tasks import evaluate, files
from tasks.classifier import Training


@flow(name="evaluate")
def run(settings: Settings) -> None:
    """Train the cells that are not done yet and gather them."""
    how = runtime.dumped(settings.evaluate)
    size, seeds = how.pop("image_size"), how.pop("seeds")
    training = Training(**how)
    images, truth = runtime.DATA / "prepare" / "images", runtime.DATA / "prepare" / "truth.parquet"
    subset = runtime.DATA / "optimize" / "subset.parquet"
    with files.scratch("evaluate", evaluate.key(images, subset, size, training)) as scratch:
        pixels = scratch / "pixels.npy"
        runtime.as_task(evaluate.decode)(images, size, pixels)
        train = runtime.gpu_task(evaluate.cell)
        cells = []
        for seed in range(settings.base.seed, settings.base.seed + seeds):
            for arm in evaluate.ARMS:
                cells.append(scratch / f"{arm}-{seed}.json")
                train(images, subset, pixels, arm, seed, training, cells[-1], device.best())
        runtime.as_task(evaluate.summarise)(cells, subset, truth, runtime.DATA / "evaluate")


if __name__ == "__main__":
    runtime.main(run)
