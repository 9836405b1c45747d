"""A project of one's own, by the README's words: the wheel in an environment that knows no checkout, and a repository
whose root has a `tasks.py` and a `flows/` of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import ROOT, TINY, Project, clip_folder, stages_run, tracked, write_photos
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from winnow import features
from winnow.features import Features
from winnow.files.hashes import file_sha256

CALTECH = ROOT.parent / "shared/data/caltech101"
MINE = "raise SystemExit('these are my own tasks')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what Git tracks."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, and the libraries of this one; a .pth there is not read here."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin/python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--force-reinstall"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)
    script = f"#!{python}\nimport sys\nfrom dvc.cli import main\nsys.exit(main())\n"
    (place / "bin/dvc").write_text(script)
    (place / "bin/dvc").chmod(0o755)
    return place / "bin"


@pytest.fixture
def repository(installed: Path, environment: dict[str, str], tmp_path: Path) -> Project:
    """A Git repository with modules of its own at its root."""
    known = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    made = Project(tmp_path / "theirs", known | {"PATH": f"{installed}{os.pathsep}{environment['PATH']}"})
    (made.folder / "flows").mkdir(parents=True)
    (made.folder / "flows/mine.py").write_text(MINE)
    (made.folder / "tasks.py").write_text(MINE)
    made.use_git()
    made.commit()
    return made


def test_the_wheel_holds_one_package_and_all_that_it_reads(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"winnow", "winnow_images"}
    wanted = {
        f"winnow/project/files/{name}"
        for name in tracked()
        if name in ("dvc.yaml", "prefect.yaml", "corrections.csv") or name.startswith(("flows/", "tasks/"))
    }
    assert wanted <= set(names)
    wanted = {name for name in tracked() if name.startswith("winnow/")}
    assert wanted <= set(names), "modules, and files that they read"


def use(repository: Project, source: Path, *arguments: str) -> None:
    """All that the README of a project says, from its making to a DataLoader elsewhere."""
    said = repository.run("winnow", "init", ".", "--source", str(source), *arguments)
    assert said.returncode == 2, said.stdout
    assert "has a tasks.py of its own" in said.stdout
    repository.do("winnow", "init", "my-subset", "--source", str(source), *arguments)
    project = Project(repository.folder / "my-subset", repository.env)
    where = project.do("python", "-c", "import winnow; print(winnow.__file__)")
    assert str(ROOT) not in where, "the wheel is at work, and not the checkout"
    project.set(evaluate={"steps": 10, "seeds": 2, "image_size": 16})
    project.do("dvc", "remote", "add", "--default", "store", str(repository.folder.parent / "store"))
    said = project.do("dvc", "repro")
    stages = ["prepare", "embed", "adapt", "score", "optimize", "evaluate", "release"]
    assert stages_run(said) == stages
    outcomes = {stage: re.findall(rf"^winnow {stage}: (.*)", said, re.MULTILINE) for stage in stages}
    assert all(outcomes.values()), "each stage says what came of it"
    assert project.repro() == []
    shown = project.do("winnow", "show")
    assert "my-subset: kept " in shown
    for stage in ("prepare", "embed", "adapt", "optimize"):
        assert outcomes[stage][-1] in shown
    repository.commit()
    project.do("winnow", "release", "publish", "subset", "--bump", "minor")
    assert "my-subset=subset@v0.1.0" in repository.do("git", "tag")
    _use_elsewhere(project, repository.folder)


def _use_elsewhere(project: Project, repository: Path) -> None:
    """Get the version in a third place, write its images, and read them."""
    third = Project(repository.parent / "third", project.env)
    third.folder.mkdir()
    third.do("dvc", "artifacts", "get", str(repository), "my-subset:subset", "-o", "release")
    ids = (third.folder / "release/ids.txt").read_bytes()
    assert ids == (project.folder / "data/release/ids.txt").read_bytes()
    images = ["--images", str(project.folder / "data/prepare/images")]
    third.do("winnow", "export", "release", "--format", "imagefolder", "--out", "images", *images)
    data = ImageFolder(third.folder / "images/train", lambda image: functional.to_tensor(image.resize((8, 8))))
    batches = list(DataLoader(data, batch_size=8))
    assert sum(len(labels) for _, labels in batches) == len(ids.splitlines()) > 0


def test_a_project_of_photographs_in_a_repository_of_ones_own(repository: Project) -> None:
    photos = write_photos(repository.folder.parent / "photos")
    encoder = clip_folder(repository.folder.parent / "encoder", TINY)
    use(repository, photos, "--encoder", "local-dir", "--weights", str(encoder), "--keep", "0.5")
    project = Project(repository.folder / "my-subset", repository.env)
    project.set(optimize={"keep": 0.25})
    assert project.repro() == ["optimize", "evaluate", "release"]
    (project.folder / "mine.py").write_text("WORDS = 'mine'\n")
    _append(project.folder / "tasks/optimize.py", "import mine  # noqa\n")
    assert project.repro() == ["optimize"]
    _append(project.folder / "mine.py", "MORE = 1\n")
    assert project.repro() == ["optimize"], "which imports it; its result is the same, so nothing else runs"
    _append(project.folder / "flows/refresh.py", "# no stage\n")
    assert project.repro() == []


@pytest.mark.slow
def test_a_project_with_several_encoders(repository: Project) -> None:
    room = repository.folder.parent
    photos, encoder = write_photos(room / "photos"), clip_folder(room / "encoder", TINY)
    repository.do(
        "winnow", "init", "mine", "--source", str(photos), "--encoder", "local-dir", "--weights", str(encoder)
    )
    project = Project(repository.folder / "mine", repository.env)
    project.set(evaluate={"steps": 10, "seeds": 2, "image_size": 16})
    project.repro()
    one = project.results()
    ids = [f"{c}/{i}.png" for c in ("blue", "green", "red") for i in range(10)]
    rows, labels = np.random.default_rng(0).normal(size=(30, 8)), np.repeat([0, 1, 2], 10)
    rows[np.arange(30), labels] += 9
    (room / "colours").mkdir()
    features.save(room / "colours", Features(rows, None, labels, ["blue", "green", "red"], np.array(ids)))
    other = clip_folder(room / "other", TINY)
    colours = {"source": "features", "path": str(room / "colours")}
    project.set(embed={"others": [{"model": "local-dir", "path": str(other)}, colours]})
    assert project.repro() == ["embed", "adapt", "score", "optimize", "evaluate", "release"]
    both, manifest = project.results(), json.loads((project.folder / "data/release/manifest.json").read_text())
    assert both["embed/image.npy"] == one["embed/image.npy"]
    assert [other["encoder"] for other in manifest["encoder"]["others"]] == ["other", "features colours"]
    assert manifest["encoder"]["others"][0]["weights_sha256"] == file_sha256(other / "open_clip_model.safetensors")
    assert [one["path"] for one in manifest["parameters"]["embed"]["others"]] == ["other", "colours"]
    assert "others" not in json.loads(one["release/manifest.json"])["parameters"]["embed"]
    assert "features of encoder and of other and of colours" in project.do("winnow", "show")
    assert "| encoder 2 | other, weights `" in (project.folder / "data/release/card.md").read_text()
    table = pd.read_parquet(project.folder / "data/release/scores.parquet")
    assert {"agree", "predicted_1", "predicted_2", "predicted_3"} <= set(table.columns)
    assert (table["predicted_3"] == table["label"]).all()
    shutil.rmtree(project.folder / "data/embed")
    assert project.repro("--force", "--single-item", "embed") == ["embed"]
    kept = {name: data for name, data in project.results().items() if name.startswith("embed/")}
    assert kept == {name: data for name, data in both.items() if name.startswith("embed/")}


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.mark.skipif(not CALTECH.is_dir(), reason="the images of Caltech-101 are not beside this checkout")
def test_a_project_of_caltech_101_with_features_that_are_there(repository: Project) -> None:
    use(repository, CALTECH / "images", "--features", str(CALTECH / "clip-vit-b-32"), "--keep", "0.3")
