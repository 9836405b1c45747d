"""A project to run commands in, as a user runs them."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from winnow.errors import InputError
from winnow.files.json_files import write_json
from winnow.images import prepare, storage
from winnow.releases import assemble
from winnow.selection import adapters, explain
from winnow.selection.adapters import Adapters
from winnow.sources import Source, open_source

ROOT = Path(__file__).parents[1]
SHORT = {"pretrain": {"steps": 60}, "evaluate": {"steps": 20, "seeds": 2}}
PARAMETERS = {
    "prepare": {"source": "/home/someone/photos", "wrong_labels": 0.0},
    "embed": {"path": "data/pretrain", "prompts": ["a {}"]},
    "optimize": {"keep": 0.5, "method": "winnow", "solver": "exact", "balance": "proportional"},
    "evaluate": {"model": "small", "seeds": 2, "steps": 10},
}

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


@dataclass(frozen=True)
class Project:
    """A checkout in which commands are run as a user runs them."""

    folder: Path
    env: dict[str, str]

    def run(self, *command: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; both streams in `stdout`."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            text=True,
            timeout=timeout,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def do(self, *command: str, timeout: float = 600) -> str:
        """Run a command that must succeed; what it said."""
        done = self.run(*command, timeout=timeout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def use_git(self) -> None:
        """Make the project a repository, with a name for who commits."""
        self.do("git", "init", "-q", "-b", "main")
        for key, value in {"user.name": "t", "user.email": "t@t", "commit.gpgsign": "false"}.items():
            self.do("git", "config", key, value)

    def commit(self) -> None:
        """Commit everything."""
        self.do("git", "add", "-A")
        self.do("git", "commit", "-qm", "x")

    def repro(self, *arguments: str) -> list[str]:
        """`dvc repro`; the stages that ran."""
        return stages_run(self.do("dvc", "repro", *arguments))

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
    images = list(
        source.copy() if source.copy else storage.read(source.base, source.table, follow_links=source.follow_links)
    )
    assert len(images) == len(source.table)
    assert all(isinstance(image, bytes) for image in images)
    return images  # type: ignore[return-value]


def refusal(source: Path) -> str:
    """What is said of a source that is refused."""
    with pytest.raises(InputError) as error:
        open_source(source)
    assert str(error.value).startswith("prepare.source: ")
    return str(error.value)


def stages_run(output: str) -> list[str]:
    """The stages that DVC says it ran, but for `source`, which looks at the source every time."""
    return [stage for stage in re.findall(r"Running stage '(\w+)'", output) if stage != "source"]


def tracked() -> list[str]:
    """The files of this checkout that Git tracks, or would."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    return [name for name in listed if name and (ROOT / name).is_file()]


def checkout(folder: Path, env: dict[str, str]) -> Project:
    """Copy what Git tracks, or would, to `folder`, and make it a repository with short training runs."""
    for name in tracked():
        if name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    project = Project(folder, env)
    project.set(**SHORT)
    project.use_git()
    project.commit()
    return project


def artifact(env: dict[str, str], key: str) -> Any:
    """What the last artifact of a key holds, in the Prefect server of an environment."""
    with temporary_settings({PREFECT_API_URL: env["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return max(found, key=lambda one: one.created).data


def write_photos(folder: Path) -> Path:
    """Three classes of ten small images each, a folder a class."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 60, (20, 24, 3))
            pixels[..., 2 - c] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def _write_evaluation(folder: Path, classes: list[str]) -> None:
    """What evaluate leaves, of two seeds."""
    arms = "subset", "random", "all"
    same = {arm: {"mean": 0.5, "std": 0.125} for arm in arms}
    measured = dict.fromkeys(("accuracy", "worst_class", "calibration_error"), same)
    write_json(folder / "metrics.json", measured | {"budget": "10 steps", "samples_seen": dict.fromkeys(arms, 80)})
    row = {"budget": "10 steps", "accuracy": 0.5, "worst_class": 0.25, "calibration_error": 0.1, "kept": 16}
    cells = [{"arm": arm, "seed": seed} | row | {"samples_seen": 80} for seed in range(2) for arm in arms]
    pd.DataFrame(cells).to_csv(folder / "accuracy.csv", index=False)
    pd.DataFrame({"class_name": classes, "held_out": 2} | dict.fromkeys(arms, 0.5)).to_csv(
        folder / "classes.csv", index=False
    )


def write_stages(photos: Path, data: Path) -> Path:
    """What the stages leave for `photos`, and a release: 24 images to choose from, all but those of a class kept."""
    source = open_source(photos)
    prepare.run(source, data / "prepare", test_share=0.2, max_rejected=0, wrong_labels=0, damaged=0, seed=0)
    pool = pd.read_parquet(data / "prepare/images/index.parquet").query("split == 'train'")
    table = pool[["id", "label"]].iloc[::-1].assign(class_name=pool["label"].map(dict(enumerate(source.classes))))
    table = table.assign(alignment=range(24), sas=range(24), sds=1.0, predicted=0, damaged=False, similarity=0.5)
    table = table.assign(selected=pool["label"] != 1, reason="", evidence="")
    table.loc[~table["selected"], "reason"] = ["suspected label", *["damaged"] * 2, *["redundant"] * 5]
    for stage in ("embed", "adapt", "score", "optimize", "evaluate"):
        (data / stage).mkdir()
    table.to_parquet(data / "optimize/subset.parquet", index=False)
    pairs = pd.DataFrame({"id": "", "of": "", "cosine": np.float32(), "same_class": True}, index=[])
    pairs.to_parquet(data / "score/near_duplicates.parquet", index=False)
    write_json(data / "optimize/metrics.json", explain.summary(table))
    adapters.save(data / "adapt/adapters.safetensors", Adapters(4))
    write_json(
        data / "adapt/metrics.json",
        {"measured_on": "held-out images", "zero_shot_accuracy": 0.5, "adapted_accuracy": 0.75},
    )
    write_json(data / "embed/encoder.json", {"encoder": "tiny", "weights_sha256": "ab", "prompts": ["a {}"]})
    _write_evaluation(data / "evaluate", source.classes)
    assemble.run(data, data / "release", name="photos", parameters=PARAMETERS)
    return data


def clip_folder(path: Path, config: dict[str, object]) -> Path:
    """Write an open_clip model folder with weights as they are drawn."""
    import open_clip
    from safetensors.torch import save_file

    path.mkdir()
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model = open_clip.create_model(f"local-dir:{path}", load_weights=False)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path / "open_clip_model.safetensors")
    return path
