"""Read and check the presets of `winnow bench`: one YAML file each; errors name the key at fault."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from winnow.errors import InputError
from winnow.run.settings import Block, Positive, Share, explain

PRESETS = Path(__file__).with_name("preset_files")
DATA = "{data}"  # in a path: the folder that --data names

Keep = Annotated[float, Field(gt=0, lt=1)]


class NoiseBlock(Block):
    """Wrong labels (`winnow.bench.cells.LabelNoise`)."""

    kind: Literal["symmetric", "asymmetric", "near"]
    share: float = Field(gt=0, lt=1)
    to: dict[str, str] = Field(default={})

    @model_validator(mode="after")
    def _a_map_is_by_class(self) -> "NoiseBlock":
        if self.to and self.kind != "asymmetric":
            raise ValueError("to: only asymmetric noise maps classes")
        return self


class EncoderBlock(Block):
    """Which encoder makes features: the keys of `embed` in params.yaml."""

    model: str = Field(min_length=1)
    path: str = ""
    pretrained: str | None = None
    prompts: list[str] = Field(default=["a photo of a {}."], min_length=1)
    class_names: str | None = None
    batch_size: Positive = 256


class TrainingBlock(Block):
    """What all networks share (`winnow.training.classifier`)."""

    width: Positive = 16
    batch_size: Positive
    flip: bool


class Preset(Block):
    """A grid: every fault x keep x method x model x budget x seed.

    A fault is one of `noises` on images as they are, one of `damages` on labels as they are, or neither.
    """

    about: str = Field(min_length=1)
    needs: list[Literal["gpu", "download"]] = Field(default=[])
    source: str = Field(min_length=1)
    held_out: str | None = None
    test_share: float = Field(default=0.2, gt=0, lt=1)
    features: str | None = None
    encoder: EncoderBlock | None = None
    image_size: int = Field(ge=8)
    training: TrainingBlock
    models: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    budgets: dict[Literal["steps", "epochs"], Annotated[int, Field(ge=1)]] = Field(min_length=1)
    clean: bool = True
    noises: list[NoiseBlock] = Field(default=[])
    damages: list[Share] = Field(default=[])
    keeps: list[Keep] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    seeds: Positive = 3

    @model_validator(mode="after")
    def _features_come_from_one_place(self) -> "Preset":
        if (self.features is None) == (self.encoder is None):
            raise ValueError("features or encoder: one of the two")
        if self.features is not None and any(self.damages):
            raise ValueError("damages need an encoder: features were made before the damage")
        return self

    @property
    def takes_data(self) -> bool:
        """Whether it works on a folder that the user has."""
        places = (self.source, self.features or "", self.encoder.class_names or "" if self.encoder else "")
        return any(DATA in place for place in places)


def names() -> list[str]:
    """The presets that there are."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load(name: str) -> Preset:
    """Read and check a preset, by its name or by the path of a file of one's own (.yaml).

    Raises:
        InputError: there is none, or the file is at fault: with the key, one line a fault.
    """
    path = Path(name) if name.endswith(".yaml") else PRESETS / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"there is no preset {name!r}; there are {', '.join(names())}, and files of your own (.yaml)")
    try:
        preset = Preset.model_validate(YAML(typ="safe").load(path) or {})
    except YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        raise InputError("\n".join(f"{path}: {line}" for line in explain(error))) from error
    _check_names(path, preset)
    return preset


def _check_names(path: Path, preset: Preset) -> None:
    """Methods and models that there are not; this loads torch, so it comes last."""
    from winnow.bench import baselines
    from winnow.training import networks

    known = {"methods": [*baselines.METHODS, baselines.EVERYTHING], "models": networks.names()}
    for key, given in (("methods", preset.methods), ("models", list(preset.models))):
        if unknown := [name for name in given if name not in known[key]]:
            raise InputError(f"{path}: {key}: there is no {unknown[0]!r}; there are {', '.join(known[key])}")
