"""A project to run commands in, as a user runs them."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks import storage
from tasks.sources import Source

ROOT = Path(__file__).parents[1]
SHORT = {"pretrain": {"steps": 60}, "evaluate": {"steps": 20, "seeds": 2}}


@dataclass(frozen=True)
class Project:
    """A checkout in which commands are run as a user runs them."""

    folder: Path
    env: dict[str, str]

    def run(self, *command: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; both streams in `stdout`."""
        return subprocess.run(command, cwd=self.folder, env=self.env, text=True, timeout=timeout, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def repro(self, *arguments: str) -> list[str]:
        """`dvc repro`; the stages that ran."""
        done = self.run("dvc", "repro", *arguments)
        assert done.returncode == 0, done.stdout
        return stages_run(done.stdout)

    def set(self, **blocks: dict[str, Any]) -> None:
        """Change params.yaml."""
        yaml, path = YAML(), self.folder / "params.yaml"
        parameters = yaml.load(path)
        for block, values in blocks.items():
            parameters.setdefault(block, {}).update(values)
        yaml.dump(parameters, path)

    def results(self) -> dict[str, bytes]:
        """Every file that the stages left, by its path below data/."""
        data = self.folder / "data"
        return {str(p.relative_to(data)): p.read_bytes() for p in sorted(data.rglob("*")) if p.is_file()}


def encoded(source: Source) -> list[bytes]:
    """Every image of a source, encoded, in order."""
    images = list(source.copy() if source.copy else storage.read(source.base, source.table))
    assert len(images) == len(source.table)
    assert all(isinstance(image, bytes) for image in images)
    return images  # type: ignore[return-value]


def stages_run(output: str) -> list[str]:
    """The stages that DVC says it ran, but for `source`, which looks at the source every time."""
    return [stage for stage in re.findall(r"Running stage '(\w+)'", output) if stage != "source"]


def checkout(folder: Path, env: dict[str, str]) -> Project:
    """Copy what Git tracks, or would, to `folder`, and make it a repository with short training runs."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.split("\n")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    project = Project(folder, env)
    project.set(**SHORT)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, env=env, check=True)
    return project
