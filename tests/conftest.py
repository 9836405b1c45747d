"""What tests share: a place to work in, features with a known truth, a folder of images, a small encoder."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from support import write_photos, write_stages

from winnow.features import Features
from winnow.images import dataset
from winnow.images.dataset import Dataset
from winnow.run import environment, prefect_server

environment.prepare()

# By default the same examples on every machine. `--hypothesis-profile random`, which `make test-all` and `make fuzz`
# pass, draws new ones; what fails is printed as a decorator that repeats it, and tried first next time. No deadline: a
# slow machine is no failure.
settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
EXAMPLES = DirectoryBasedExampleDatabase(Path(__file__).parents[1] / ".hypothesis/examples")
settings.register_profile("random", deadline=None, print_blob=True, database=EXAMPLES)
# `make mutants` is told at once that a test fails, without a search for the simplest example.
settings.register_profile("mutants", settings.get_profile("fixed"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("fixed")

# Sums depend on how many threads share them; cells of an evaluation set one thread for the whole process.
torch.set_num_threads(1)

CLASSES = ["ant", "bee", "cat", "dog", "elk"]
SIZES = [120, 80, 60, 30, 10]


@pytest.fixture(autouse=True)
def _no_tracking_server_is_left() -> Iterator[None]:
    """MLflow puts the server in use into the environment, where the next test would take it for the user's."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty working directory, so that scratch folders stay out of the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user who has the project's Python first on the path, and a Prefect server running."""
    home = tmp_path_factory.mktemp("prefect")
    patch = pytest.MonkeyPatch()
    patch.setenv("PREFECT_HOME", str(home))
    patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        patch.delenv(name, raising=False)
    with prefect_server.shared() as env:
        yield env
        logging.raiseExceptions = False  # from here on, Prefect's handlers write to the streams of a test that is over
    patch.undo()


@pytest.fixture(scope="session")
def wrong() -> np.ndarray:
    """(N,) bool: the samples of `planted` whose label is wrong."""
    return np.random.default_rng(7).random(sum(SIZES)) < 0.15


@pytest.fixture(scope="session")
def planted(wrong: np.ndarray) -> Features:
    """Five classes of unequal size around their prompts, 15% of the labels wrong, rows in no order of class."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    text = rng.normal(size=(len(SIZES), 16))
    image = text[truth] + 0.7 * rng.normal(size=(len(truth), 16)) + 0.5  # a gap between the two, as CLIP has
    labels = np.where(wrong, (truth + rng.integers(1, len(SIZES), len(truth))) % len(SIZES), truth)
    ids = np.array([f"photo-{i:03d}" for i in rng.permutation(len(truth))])
    return Features(image.astype(np.float32), text.astype(np.float32), labels, CLASSES, ids)


@pytest.fixture
def write_features(tmp_path: Path, planted: Features) -> Callable[..., Path]:
    """Write `planted` as people do, with numpy and json; what is given replaces a part, None leaves it out."""

    def write(name: str = "features", **changed: object) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for part in ("image", "text", "labels"):
            if (rows := changed.get(part, getattr(planted, part))) is not None:
                np.save(folder / f"{part}.npy", rows)
        if (classes := changed.get("classes", planted.classes)) is not None:
            (folder / "classes.json").write_text(json.dumps(classes))
        if (ids := changed.get("ids", planted.ids)) is not None:
            (folder / "ids.txt").write_text("".join(f"{i}\n" for i in ids))
        return folder

    return write


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Three classes of ten small images each, a folder a class."""
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an open_clip model folder as the stage pretrain writes it, hardly trained."""
    from winnow.sample import encoder as pretrain

    room = tmp_path_factory.mktemp("encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(room)
        pretrain.run(room / "model", steps=10, batch_size=4, lr=1e-3, seed=0, device="cpu")
    return room / "model"


@pytest.fixture
def images(workdir: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """`image_folder`, prepared: 24 images to choose from and 6 held out, in several shards."""
    from winnow.images import prepare
    from winnow.sources import open_source

    monkeypatch.setattr(prepare, "SHARD", 8)
    prepare.run(
        open_source(image_folder), workdir / "in", test_share=0.2, max_rejected=0, wrong_labels=0.2, damaged=0, seed=0
    )
    return dataset.load(workdir / "in/images")


@pytest.fixture(scope="session")
def photo_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what the stages before a release leave, and a release of it: see `support.write_stages`."""
    room = tmp_path_factory.mktemp("stages")
    write_photos(room / "originals")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(room)
        return write_stages(Path("originals"), room / "data")


@pytest.fixture
def stages(photo_stages: Path, workdir: Path) -> Path:
    """Make the working directory a project with the stages in `data`: 24 images to choose from, 16 of them kept.

    `originals` holds the images they came from.
    """
    (workdir / "params.yaml").write_text("prepare: {source: originals}\n")
    shutil.copytree(photo_stages.with_name("originals"), workdir / "originals")
    return Path(shutil.copytree(photo_stages, workdir / "data"))


@pytest.fixture
def released(stages: Path) -> Path:
    """Give the release in `data`, which a test may change."""
    return stages / "release"
