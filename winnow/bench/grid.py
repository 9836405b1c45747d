"""Expand a preset into cells, with the images, features and settings that they share."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from winnow.bench import prepared
from winnow.bench.baselines import EVERYTHING
from winnow.bench.cells import BenchJob, Cell, LabelNoise
from winnow.bench.prepared import DataOrigin, Encoding
from winnow.bench.presets import DATA, Preset
from winnow.encoders.encoder import Checkpoint
from winnow.errors import InputError
from winnow.training.classifier import Training
from winnow.training.length import Length


def cells(preset: Preset, seeds: int | None = None) -> list[Cell]:
    """All cells, seed by seed, so that a run that is cut short leaves whole tables; the pool whole once a setting."""
    lengths = [Length(amount, unit) for unit, amount in preset.budgets.items()]
    methods = [method for method in preset.methods if method != EVERYTHING]
    found = []
    for seed, (noise, damage), length, model in product(
        range(seeds or preset.seeds), _faults(preset), lengths, preset.models
    ):
        pairs = list(product(preset.keeps, methods)) + [(1.0, EVERYTHING)] * (EVERYTHING in preset.methods)
        found += [Cell(noise, damage, keep, method, model, length, seed) for keep, method in pairs]
    return found


def _faults(preset: Preset) -> Iterator[tuple[LabelNoise, float]]:
    """One fault at a time, after none."""
    if preset.clean:
        yield LabelNoise(), 0.0
    for noise in preset.noises:
        yield LabelNoise(noise.kind, noise.share, tuple(noise.to.items())), 0.0
    for damage in preset.damages:
        yield LabelNoise(), float(damage)


def origin(preset: Preset, data: Path | None) -> DataOrigin:
    """Where images and features come from, with the folder of --data put in."""

    def put(place: str) -> str:
        return place.replace(DATA, str(data))

    if preset.features is not None:
        return DataOrigin(
            put(preset.source), Path(put(preset.features)), preset.image_size, preset.held_out, preset.test_share
        )
    assert preset.encoder is not None
    how = preset.encoder
    names = put(how.class_names) if how.class_names else None
    checkpoint = Checkpoint(how.model, Path(put(how.path)), how.pretrained)
    encoding = Encoding(checkpoint, tuple(how.prompts), names, how.batch_size)
    return DataOrigin(put(preset.source), encoding, preset.image_size, preset.held_out, preset.test_share)


def work(preset: Preset, folder: Path) -> BenchJob:
    """What all cells share; the data without damage has to be there. Who chooses trains the first model."""
    how = preset.training
    trainings = {
        model: Training(how.width, 1, how.batch_size, lr, how.flip, model) for model, lr in preset.models.items()
    }
    pool = len(prepared.load(folder / "clean").data.labels)
    unit, amount = next(iter(preset.budgets.items()))
    judge = Length(amount, unit).training(next(iter(trainings.values())), pool)
    return BenchJob(folder, prepared.digest(folder / "clean"), trainings, judge)


def shown(cell: Cell, key: str) -> str:
    """A setting of a cell as it is shown, and as --only takes it.

    Raises:
        InputError: there is no such setting.
    """
    if key not in cell.settings:
        raise InputError(f"--only: there is no {key!r}; there are {', '.join(cell.settings)}")
    value = cell.settings[key]
    return f"{value:g}" if isinstance(value, float) else str(value)
