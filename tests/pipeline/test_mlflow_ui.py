"""Two versions of the subset, side by side on MLflow's compare page, in a real browser."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from playwright.sync_api import sync_playwright
from support import Project

from winnow import tracking

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

SCROLL = """e => {
    while (e.scrollHeight <= e.clientHeight + 1) e = e.parentElement
    e.scrollTop = e.scrollHeight
}"""


@pytest.fixture
def mlflow_server(project: Project) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = tracking.uri(project.folder)
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        store,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with subprocess.Popen(command, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/health")  # noqa: S310
                break
            except OSError:
                time.sleep(0.5)
        yield url
        process.terminate()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed: apt-get install chromium")
def test_two_versions_stand_side_by_side(project: Project, mlflow_server: str, tmp_path: Path) -> None:
    for keep in ("0.3", "0.7"):
        few = ("-S", "evaluate.seeds=1", "-S", "evaluate.steps=20")
        assert project.run("dvc", "exp", "run", "-S", f"optimize.keep={keep}", *few).returncode == 0
    mlflow.set_tracking_uri(tracking.uri(project.folder))
    experiment = mlflow.get_experiment_by_name(tracking.EXPERIMENT)
    assert experiment is not None
    runs = {
        run.info.run_name: run.info.run_id
        for run in mlflow.search_runs([experiment.experiment_id], output_format="list")
    }
    chosen = [runs["digits keep=0.3"], runs["digits keep=0.7"]]
    page_url = (
        f"{mlflow_server}/#/compare-runs?runs={json.dumps(chosen)}&experiments={json.dumps([experiment.experiment_id])}"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1800})
        page.goto(page_url)
        page.get_by_text("accuracy.subset.mean").first.wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "compare.png")
        text = page.inner_text("body")
        page.get_by_text("accuracy.subset.mean").first.evaluate(SCROLL)  # only rows in sight are there
        page.get_by_text("wrong_labels.share_of_kept").first.wait_for()
        page = browser.new_page(viewport={"width": 1900, "height": 900})  # which has not been here before
        page.goto(tracking.versions_page(mlflow_server, project.folder))
        page.get_by_text("digits keep=0.7").first.wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "versions.png")
        versions = page.inner_text("body")
        page.get_by_text("digits keep=0.7").first.click()
        page.get_by_text("Kept 2,800 of 4,000 images").first.wait_for(timeout=60_000)  # its description
        browser.close()
    for expected in (
        "digits keep=0.3",
        "digits keep=0.7",
        "optimize.keep",
        "1200",
        "2800",
    ):
        assert expected in text, expected
    for expected in ("accuracy.subset.mean", "kept", "dropped", "Model registry"):
        assert expected in versions, expected
