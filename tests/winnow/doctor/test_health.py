"""What is out of order is found, by asking the real thing, and each finding says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from winnow.doctor import machine, project, servers
from winnow.doctor.finding import Finding
from winnow.files.json_files import write_json

ROOT = Path(__file__).parents[3]


def doctor(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, on a wide terminal."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_API", "MLFLOW_TRACKING"))}
    env |= {"PYTHONPATH": str(ROOT), "COLUMNS": "300", "PREFECT_HOME": str(folder / ".prefect"), **environment}
    command = [sys.executable, "-m", "winnow.cli.main", "doctor"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(workdir: Path) -> Path:
    """An empty project under Git and DVC, with the parameters and pins of this one, committed, and a remote."""
    for name in ("params.yaml", "constraints.txt"):
        (workdir / name).write_bytes((ROOT / name).read_bytes())
    (workdir / ".gitignore").write_text(".prefect\n.winnow\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    dvc = [sys.executable, "-m", "dvc"]
    add = [*dvc, "remote", "add", "-q", "-d", "store", "../store"]
    for command in ([*git, "init", "-q"], [*dvc, "init", "-q"], add, [*git, "add", "-A"], [*git, "commit", "-qm", "x"]):
        subprocess.run(command, cwd=workdir, check=True)
    return workdir


def test_in_order_it_ends_with_0_and_otherwise_with_1_and_the_cure(checkout: Path) -> None:
    well = doctor(checkout)
    assert well.returncode == 0, well.stdout + well.stderr
    assert "0 to know of, 0 wrong" in well.stdout
    for what in ("Python", "packages", "devices", "disk", "parameters", "Git", "DVC remote", "Prefect", "MLflow"):
        assert f" {what} " in well.stdout
    (checkout / "params.yaml").write_text("optimize: {keeep: 0.3}\n")
    ill = doctor(checkout, PREFECT_SERVER_ANALYTICS_ENABLED="true", MLFLOW_TRACKING_URI="http://me:hunter2@127.0.0.1:9")
    assert ill.returncode == 1, ill.stdout + ill.stderr
    told = ("unknown key optimize.keeep", "correct params.yaml", "1 file changed", "http://***@127.0.0.1:9")
    for words in (*told, "on in Prefect", "export PREFECT_SERVER_ANALYTICS_ENABLED=false", "2 to know of, 3 wrong"):
        assert words in ill.stdout
    assert "hunter2" not in ill.stdout + ill.stderr


def test_a_new_repository_is_in_order_but_for_its_first_commit(workdir: Path) -> None:
    assert project.git().state == "wrong"
    subprocess.run(["git", "init", "-q"], check=True)
    found = project.git()
    assert (found.state, found.found) == ("warning", "a repository without a commit")
    assert found.cure == "commit before you publish a version"


def test_a_block_that_is_left_out_is_named_with_what_to_write(workdir: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], check=False)
    assert made.returncode == 0
    stages = "stages:\n  adapt:\n    cmd: echo\n    params: [base, adapt]\n"
    (workdir / "dvc.yaml").write_text(stages)
    (workdir / "params.yaml").write_text("base: {seed: 1}\n")
    found = project.pipeline()
    assert (found.state, found.cure) == ("wrong", "add to params.yaml: adapt: {}")
    (workdir / "params.yaml").write_text("base: {seed: 1}\nadapt: {}\n")
    assert project.pipeline().state == "ok"


def test_packages_are_compared_with_the_pins(workdir: Path) -> None:
    (workdir / "pins.txt").write_text(f"# pins\n\nnumpy=={np.__version__}\nno-such-package==1\n")
    assert machine.packages(Path("pins.txt")) == Finding("packages", "ok", "1 installed, as in pins.txt")
    (workdir / "pins.txt").write_text("numpy==1.0\n")
    found = machine.packages(Path("pins.txt"))
    assert (found.state, f"numpy {np.__version__}, not ==1.0" in found.found) == ("warning", True)


def test_a_project_without_pins_is_told_that_its_packages_are_there(workdir: Path) -> None:
    found = machine.packages()
    assert (found.state, found.found.partition(" ")[2]) == ("ok", "that Winnow needs are installed")
    assert int(found.found.partition(" ")[0]) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_driver_without_a_gpu_that_can_be_used_is_told(workdir: Path) -> None:
    assert machine.devices(workdir / "none").state == "ok"
    (workdir / "version").touch()
    found = machine.devices(workdir / "version")
    assert (found.state, "CUDA_VISIBLE_DEVICES" in found.cure) == ("warning", True)


def test_room_is_counted_for_features_pixels_and_results(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = workdir / "data"
    (data / "source").mkdir(parents=True)
    write_json(data / "source/fingerprint.json", {"bytes": 5000})
    told = (data / "source/fingerprint.json").stat().st_size
    assert machine.needed(data, 28) == machine.LEAST + 2 * told + 5000, "before the first run the source may be copied"
    for folder in ("prepare/images", "embed"):
        (data / folder).mkdir(parents=True)
    pd.DataFrame({"id": range(10)}).to_parquet(data / "prepare/images/index.parquet")
    np.save(data / "embed/image.npy", np.zeros((10, 64), np.float16))
    held = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    assert machine.needed(data, 28) == machine.LEAST + 10 * (3 * 2 * 64 + 3 * 28 * 28) + 2 * held
    assert machine.disk(data).state == "ok"
    monkeypatch.setattr(machine, "LEAST", 2**60)
    assert (machine.disk(data).state, "dvc gc" in machine.disk(data).cure) == ("wrong", True)


def test_outside_git_and_dvc_it_says_so(workdir: Path) -> None:
    assert (project.git().state, project.remote().state) == ("wrong", "wrong")


def test_a_remote_that_cannot_be_used_is_told_and_none_is_no_fault(checkout: Path) -> None:
    assert project.remote().state == "ok"
    dvc = [sys.executable, "-m", "dvc", "remote"]
    subprocess.run([*dvc, "modify", "store", "url", "/dev/null/store"], check=True)
    found = project.remote()
    assert (found.state, "/dev/null cannot be written to" in found.found) == ("wrong", True)
    subprocess.run([*dvc, "remove", "store"], check=True)
    assert (project.remote().state, "dvc remote add" in project.remote().cure) == ("warning", True)


def test_a_remote_whose_package_is_missing_is_told_in_the_words_of_dvc(checkout: Path) -> None:
    """No test needs Google's store, so that its package is not installed."""
    dvc = [sys.executable, "-m", "dvc", "remote"]
    subprocess.run([*dvc, "modify", "store", "url", "gs://bucket/x"], check=True)
    found = project.remote()
    assert (found.state, found.cure) == ("wrong", "install that package"), found
    assert found.found.startswith("store: ")
    assert "gs is supported, but requires" in found.found, found
    assert "gcsfs" in found.found or "dvc-gs" in found.found, found


@pytest.mark.parametrize("place", ["https://127.0.0.1:9/api", "ftp://127.0.0.1/api"])
def test_a_prefect_server_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: place}):
        found = servers.prefect()
    assert (found.state, "does not answer" in found.found, "set the variable to nothing" in found.cure) == (
        "wrong",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("block", "state", "words"),
    [
        ("{}", "ok", "not used"),
        ("{runner: dask}", "ok", "each GPU or core"),
        ("{runner: dask, address: 'tcp://127.0.0.1:9'}", "wrong", "no Dask scheduler answers"),
    ],
)
def test_a_scheduler_that_is_named_has_to_answer(workdir: Path, block: str, state: str, words: str) -> None:
    (workdir / "params.yaml").write_text(f"runtime: {block}\n")
    found = servers.dask()
    assert (found.state, words in found.found) == (state, True), found


def test_a_database_that_is_none_is_told(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "which the first release makes" in servers.mlflow(workdir).found
    (workdir / "mlflow.db").write_text("no database")
    found = servers.mlflow(workdir)
    assert (found.state, "not a database" in found.found) == ("wrong", True)
