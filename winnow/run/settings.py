"""The parameters of params.yaml: types, bounds and defaults.

An unknown key, a wrong type or a value out of range is refused with the key's name before any work starts.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from ruamel.yaml import YAML  # the reader that DVC uses, so both see the same values
from ruamel.yaml.error import YAMLError

from winnow.errors import InputError
from winnow.images import Droppable
from winnow.selection import methods
from winnow.selection.methods import Balance, Method, Recipe, Solver
from winnow.terminal.redact import redact, secret_in

ARCHITECTURE, TAG = "ViT-B-32", "laion2b_s34b_b79k"  # the encoder where none is named, from open_clip's hub

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]


def _plain_path(path: str) -> str:
    """DVC hashes what lies there, and would fetch a URL and look for a folder called `~`."""
    if path.startswith("~"):
        raise ValueError("`~` is not expanded here; write the path in full")
    if "://" in path and not secret_in(path):  # which has an error of its own
        raise ValueError("it is a path on this machine, not a URL; copy the file or folder here first")
    return path


LocalPath = Annotated[str, Field(min_length=1), AfterValidator(_plain_path)]


class Block(BaseModel):
    """A block of params.yaml: frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Base(Block):
    """What every stage shares."""

    seed: int = Field(default=methods.SEED, ge=0, lt=methods.SEEDS)


class Pretrain(Block):
    """The bundled sample's small encoder."""

    steps: int = Field(default=160, ge=10)
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=3e-3, gt=0)


class Prepare(Block):
    """Where the images come from, and what is planted in them to see whether it is found."""

    source: str = Field(default="data/sample", min_length=1)
    follow_links: bool = False
    label: str = Field(default="label", min_length=1)
    held_out: str | None = Field(default=None, min_length=1)
    test_share: float = Field(default=0.2, gt=0, lt=1)
    max_rejected: Share = 0.05
    drop: list[Droppable] = []
    wrong_labels: Share = 0.0
    mistaken: dict[str, str] = {}
    damaged: Share = 0.0
    corrections: LocalPath = "corrections.csv"


class Encoder(Block):
    """Which encoder turns images and prompts into features, or where the features are that you have."""

    source: Literal["encoder", "features"] = "encoder"
    path: LocalPath | None = None
    model: str = Field(default=ARCHITECTURE, min_length=1)
    pretrained: str | None = TAG
    prompts: list[str] = Field(default=["a photo of a {}."], min_length=1)
    class_names: LocalPath = "data/prepare/images/classes.json"
    batch_size: Positive = 256

    @field_validator("prompts", mode="before")
    @classmethod
    def _one_prompt_will_do(cls, prompts: Any) -> Any:
        return [prompts] if isinstance(prompts, str) else prompts

    @model_validator(mode="before")
    @classmethod
    def _the_tag_is_of_the_default_alone(cls, given: Any) -> Any:
        """Where weights or another architecture are named, and no tag, none is meant."""
        if isinstance(given, dict) and (given.get("path") or given.get("model", ARCHITECTURE) != ARCHITECTURE):
            return {"pretrained": None, **given}
        return given

    @model_validator(mode="after")
    def _there_is_something_to_read(self) -> "Encoder":
        if not self.path and self.source == "features":
            raise ValueError("path: name the folder of features")
        if not self.path and not self.pretrained:
            raise ValueError(
                "name the encoder's weights: path for a file or model folder, or pretrained for a tag of its library, "
                f"such as open_clip's {TAG}"
            )
        return self

    @model_validator(mode="after")
    def _prompts_take_a_class(self) -> "Encoder":
        for prompt in self.prompts:
            if "{}" not in prompt:
                raise ValueError(f"the prompt {prompt!r} has no {{}} for the class name")
        return self


class Embed(Encoder):
    """The encoder whose features count for coverage, and others whose heads are mixed in."""

    others: list[Encoder] = []

    @property
    def encoders(self) -> list[Encoder]:
        """All of them, the first first."""
        return [self, *self.others]

    @model_serializer(mode="wrap")
    def _one_encoder_has_no_others(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the key out where it says nothing: a manifest of one encoder has the bytes that it always had."""
        found: dict[str, Any] = dump(self)
        return found if self.others else {key: value for key, value in found.items() if key != "others"}


class Adapt(Block):
    """How the adapters are fitted (`winnow.selection.methods.Recipe`)."""

    epochs: Positive = Recipe.epochs
    lr: float = Field(default=Recipe.lr, gt=0)
    batch_size: int = Field(default=Recipe.batch_size, ge=2)
    temperature: float = Field(default=Recipe.temperature, gt=0)


class Score(Block):
    """How diversity is counted, and what counts as nearly the same."""

    neighbours: float = Field(default=methods.NEIGHBOURS, gt=0)
    near_duplicates: float = Field(default=methods.NEAR_DUPLICATES, gt=0, le=1)


class Optimize(Block):
    """The one dial, `keep`, and how the subset is chosen."""

    keep: float = Field(default=0.5, gt=0, le=1)
    method: Method = methods.METHOD
    solver: Solver = methods.SOLVER
    balance: Balance = methods.BALANCE
    drop_near_duplicates: bool = methods.DROP_NEAR_DUPLICATES
    max_wrong: float | None = Field(default=None, gt=0, lt=1)
    relabel: bool = False

    @model_validator(mode="after")
    def _relabelling_has_what_it_needs(self) -> "Optimize":
        if self.relabel and self.method != "winnow":
            raise ValueError("relabel needs method: winnow; the published method does not say how sure it is")
        if self.relabel and self.max_wrong is not None:
            raise ValueError("relabel and max_wrong do not go together: answers are about labels as they were given")
        return self


class Evaluate(Block):
    """The models trained to judge a subset: the same steps for every subset, or the same epochs."""

    model: str = Field(default="small", min_length=1)
    checkpoint: LocalPath | None = None
    image_size: int = Field(default=28, ge=8)
    width: Positive = 16
    steps: int = Field(default=250, ge=10)
    epochs: Positive | None = None
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=0.01, gt=0)
    flip: bool = False
    seeds: Positive = 3
    tests: dict[Name, Annotated[str, Field(min_length=1)]] = {}

    @field_validator("model")
    @classmethod
    def _model_is_known(cls, name: str) -> str:
        if name not in ("small", "probe"):  # else there is no need to wait for torch
            from winnow.training import networks

            if name not in networks.names():
                raise ValueError(f"there are probe, {', '.join(networks.names())}")
        return name

    @model_validator(mode="after")
    def _a_probe_has_features_only(self) -> "Evaluate":
        if self.model == "probe" and (self.checkpoint or self.tests):
            raise ValueError(
                "model: probe is fitted to features in data/embed, so checkpoint and tests have to be empty"
            )
        return self


class Release(Block):
    """What the release is called, and under which licence its source is."""

    name: str = Field(default="digits", pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    license: str = Field(default="unknown", pattern=r"^[a-z0-9][a-z0-9.-]*$")


class Refresh(Block):
    """What the schedule may do by itself, and within which limits (`winnow.releases.gate.Limits`)."""

    publish: Literal["never", "when_better"] = "never"
    push: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")
    accuracy_loss: Share = 0.02
    confidence: float = Field(default=0.95, gt=0, lt=1)
    least_kept: int = Field(default=1, ge=0)
    class_loss: float = Field(default=0.5, ge=0, le=1)
    faulty_rise: Share = 0.05
    drift: float = Field(default=0.1, ge=0, le=1)


class Runtime(Block):
    """Where tasks run. It changes no result, so no stage depends on it."""

    runner: Literal["local", "dask"] = "local"
    address: str = ""


class Settings(Block):
    """All of params.yaml."""

    base: Base = Base()
    pretrain: Pretrain = Pretrain()
    prepare: Prepare = Prepare()
    embed: Embed = Embed()
    adapt: Adapt = Adapt()
    score: Score = Score()
    optimize: Optimize = Optimize()
    evaluate: Evaluate = Evaluate()
    release: Release = Release()
    refresh: Refresh = Refresh()
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _secrets_stay_in_the_environment(self) -> "Settings":
        """params.yaml is committed, and its values go into manifests and MLflow."""
        for block, values in self.model_dump().items():
            below = [
                (f"others.{k}.{key}", v) for k, one in enumerate(values.get("others", [])) for key, v in one.items()
            ]
            for key, value in [*values.items(), *below]:
                if isinstance(value, str) and (found := secret_in(value)):
                    raise ValueError(
                        f"{block}.{key} holds a secret ({found}); give it in the environment instead, as "
                        "the store's library reads it (docs/security.md)"
                    )
        return self

    @model_validator(mode="after")
    def _damage_needs_an_encoder(self) -> "Settings":
        if self.prepare.damaged and any(one.source == "features" for one in self.embed.encoders):
            raise ValueError("prepare.damaged must be 0 with embed.source: features, made before the damage")
        return self


def load(path: Path = Path("params.yaml")) -> Settings:
    """Read and check a parameter file.

    Raises:
        InputError: with the key at fault, one line a fault.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; run from the top of the project, where params.yaml lies")
    try:
        return Settings.model_validate(YAML(typ="safe").load(path) or {})
    except YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        raise InputError("\n".join(f"{path}: {line}" for line in explain(error))) from error


def explain(error: ValidationError) -> list[str]:
    """One line a fault: the key, what is wrong with it, and what was given."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"unknown key {key}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            shown = fault["loc"] and not isinstance(fault["input"], dict)
            lines.append(f"{key}: {message}".removeprefix(": ") + (f" (given: {fault['input']!r})" if shown else ""))
    return [redact(line) for line in lines]
