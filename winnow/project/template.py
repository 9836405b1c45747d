"""The files of a project of one's own: this repository's stages without its sample, and parameters for one's images.

`flows/`, `tasks/`, dvc.yaml and prefect.yaml are those of the repository, so that there is one copy to keep right. In a
wheel they lie beside this module; in a checkout they are found at its root.
"""

import io
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML

from winnow import __version__
from winnow.extras import DISTRIBUTION

ROOM = Path(__file__).parent
SAMPLE = ("sample", "pretrain")  # stages of the bundled sample, which no other project has
CODE = ("flows", "tasks")
OURS = ("params.yaml", "README.md", "corrections.csv")  # what a person is to change, and an update leaves alone
DVC = {".dvc/config": "[core]\n    analytics = false\n", ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n"}
GITIGNORE = """\
.venv/
__pycache__/
# what a run leaves beside its results
/.winnow/
/bench/
/dvc_plots/
/mlflow.db*
/mlartifacts/
# what a killed run leaves beside a result; the next one removes it
.*.winnow/
"""
DVCIGNORE = """\
__pycache__/
# what a killed run leaves beside a result
.*.winnow/
"""


@dataclass(frozen=True)
class Choices:
    """What a project is made for.

    Attributes:
        name: of the release.
        source: where the images are, as the project names it.
        shown: the same, as its README names it.
        artifact: the release, as `dvc artifacts get` names it.
        keep: the share to keep.
        features: a folder of features; None: an encoder makes them.
        model: an architecture of open_clip, or a network of timm or torchvision.
        weights: a file of its weights; None: those of `pretrained`.
        pretrained: a tag of that library.
        prompted: the encoder reads prompts.
        label: the column of labels.
        held_out: the split to hold out, or a .txt of ids.
        follow_links: read what links lead to outside the source.
    """

    name: str
    source: str
    shown: str
    artifact: str
    keep: float
    features: str | None
    model: str
    weights: str | None
    pretrained: str | None
    prompted: bool = True
    label: str = "label"
    held_out: str | None = None
    follow_links: bool = False


def files(choices: Choices) -> dict[str, bytes]:
    """Every file of a new project, by its path."""
    written = {
        "params.yaml": _render("params.yaml.jinja", vars(choices)),
        "README.md": _render("README.md.jinja", vars(choices)),
        "corrections.csv": (_root() / "corrections.csv").read_text(encoding="utf-8"),
    }
    return {name: text.encode() for name, text in written.items()} | kept_up()


def kept_up() -> dict[str, bytes]:
    """The files that an update brings to the installed version of Winnow: all but those that a person is to change."""
    texts = DVC | {
        ".gitignore": GITIGNORE,
        ".dvcignore": DVCIGNORE,
        "requirements.txt": f"{DISTRIBUTION}=={__version__}\n",
        "dvc.yaml": _pipeline(),
        "prefect.yaml": _deployments(),
    }
    return {name: text.encode() for name, text in texts.items()} | _code()


def scalar(value: object) -> str:
    """A value as it stands in YAML."""
    if isinstance(value, str) and _is_plain(value):
        return value
    stream = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style, yaml.width = True, 2**20
    yaml.dump([value], stream)
    return stream.getvalue().strip().removeprefix("[").removesuffix("]")


def _is_plain(value: str) -> bool:
    """Whether text needs no quotes: letters, digits, and marks that paths have, which YAML takes for nothing else."""
    return re.fullmatch(r"[\w./-]+", value) is not None and YAML(typ="safe").load(value) == value


def _render(name: str, values: dict[str, Any]) -> str:
    room = FileSystemLoader(ROOM / "templates")
    texts = Environment(loader=room, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 no HTML
    texts.filters["yaml"] = scalar
    return texts.get_template(name).render(values)


@cache
def _root() -> Path:
    """Where flows/, tasks/ and dvc.yaml lie: copied beside this module in a wheel, or at the root of a checkout."""
    return next(place for place in (ROOM / "files", ROOM.parents[1]) if (place / "dvc.yaml").is_file())


def _code() -> dict[str, bytes]:
    """The modules of flows/ and tasks/, but for those of the sample."""
    found = {}
    for folder in CODE:
        for path in sorted((_root() / folder).rglob("*.py")):
            if path.stem not in SAMPLE:
                found[path.relative_to(_root()).as_posix()] = path.read_bytes()
    return found


def _pipeline() -> str:
    """dvc.yaml without the stages of the sample and all that names them."""

    def change(pipeline: Any) -> None:
        for name in SAMPLE:
            del pipeline["stages"][name]
        for stage in pipeline["stages"].values():
            for key in ("deps", "params"):
                if key in stage:
                    _drop(stage, key, {*SAMPLE, *(f"data/{name}" for name in SAMPLE)})

    return _edited("dvc.yaml", change)


def _deployments() -> str:
    """prefect.yaml without the stages of the sample."""

    def change(found: Any) -> None:
        names = [made["name"] for made in found["deployments"]]
        for name in SAMPLE:
            del found["deployments"][names.index(name)]
            names.remove(name)

    return _edited("prefect.yaml", change)


def _edited(name: str, change: Any) -> str:
    yaml, stream = YAML(), io.StringIO()
    yaml.width, yaml.preserve_quotes = 2**10, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    found = yaml.load((_root() / name).read_text(encoding="utf-8"))
    change(found)
    yaml.dump(found, stream)
    tidy = re.sub(r"(\S) {2,}# ", r"\1 # ", stream.getvalue())  # what is dropped leaves its blanks
    return re.sub(r"\n{3,}", "\n\n", tidy)


def _drop(stage: Any, key: str, names: set[str]) -> None:
    """Take names out of a list, and the list out of its stage where nothing is left."""
    for place in reversed(range(len(stage[key]))):
        if stage[key][place] in names:
            del stage[key][place]
    if not stage[key]:
        del stage[key]


def relative(path: str, folder: Path) -> str:
    """A path as the project in `folder` names it: one that was given in full stays so."""
    if os.path.isabs(path):
        return path
    return os.path.relpath(os.path.abspath(path), os.path.realpath(folder)).replace(os.sep, "/")
