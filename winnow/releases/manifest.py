"""Open a release: read and check its manifest and tables.

Everything that publishes, exports, verifies or compares releases reads them here. A release may come from a stranger,
so nothing in its manifest is used before it is validated. The JSON schema is docs/manifest.schema.json.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
import pyarrow.parquet as pq
from pandas.api.types import is_bool_dtype, is_integer_dtype, is_numeric_dtype, is_string_dtype
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from winnow import features
from winnow.errors import ArgumentError, InputError, WorkError
from winnow.files import hashes, json_files
from winnow.names import LONGEST, SURROGATE, check_names, fault, quoted
from winnow.terminal.say import one_line

if TYPE_CHECKING:
    from winnow.releases.formats import Format
    from winnow.releases.verify import Fault

FORMAT = 2
LARGEST = 32 * 2**20  # bytes of a manifest; a class takes about a hundred
SHOWN = 3  # faults of a manifest that are named
CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")  # where DVC keeps a file, to which it may link
TEXT, WHOLE = (is_string_dtype, "text"), (is_integer_dtype, "whole numbers")
COLUMNS = {
    "id": TEXT,
    "label": WHOLE,
    "class_name": TEXT,
    "alignment": (is_numeric_dtype, "numbers"),
    "predicted": WHOLE,
    "selected": (is_bool_dtype, "true and false"),
    "reason": TEXT,
    "evidence": TEXT,
    "sha256": TEXT,
}


def _fit(name: str) -> str:
    if what := fault(name):
        raise ValueError(f"it {what}")
    return name


def _within(name: str) -> str:
    """A path as releases name their files: relative, and no way out of the folder."""
    path = PurePosixPath(_fit(name))
    if path.is_absolute() or ".." in path.parts or str(path) != name or name in (".", "manifest.json"):
        raise ValueError("it names no file within the release")
    return name


Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=LONGEST)]
Name = Annotated[Text, StringConstraints(min_length=1), AfterValidator(_fit)]
File = Annotated[Text, AfterValidator(_within)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Number = int | FiniteFloat


class Part(BaseModel):
    """A table of a manifest. Keys that are not known are kept: a later Winnow may have added them to the format."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    def stated(self) -> dict[str, Any]:
        """What the manifest states here, as it stands there."""
        return self.model_dump(exclude_unset=True)


class Samples(Part):
    """The pool, or what was kept of it."""

    samples: Count
    digest: Sha256 = Field(description="SHA-256 of ids and labels, whatever their order.")


class Counts(Part):
    """How many samples of a class there were, and were kept."""

    pool: Count
    kept: Count


class Spread(Part):
    """A measure over seeds."""

    mean: FiniteFloat
    std: FiniteFloat


class Arms(Part):
    """A measure of models trained on the subset, on a random one of its size, and on everything."""

    subset: Spread
    random: Spread
    all: Spread

    def of(self, arm: str) -> Spread:
        """The measure of one of the arms."""
        return {"subset": self.subset, "random": self.random, "all": self.all}[arm]


class Planted(Part):
    """A kind of planted fault: how many there were, and how many were dropped."""

    planted: Count
    dropped: Count
    share_of_pool: FiniteFloat
    share_of_kept: FiniteFloat


class Results(Part):
    """What models trained on the subset are worth."""

    accuracy: Arms
    trusted_accuracy: Arms | None = Field(
        default=None, description="On the held-out images whose label is not suspected, where labels were judged."
    )
    wrong_labels: Planted | None = None
    damaged: Planted | None = None


class Adaptation(Part):
    """Accuracy of the class prompts alone, where the encoder reads text, and after adapting."""

    measured_on: Text
    zero_shot_accuracy: FiniteFloat | None = None
    adapted_accuracy: FiniteFloat


class Prepare(Part):
    """Of the parameters, where the images came from."""

    source: str


class Optimize(Part):
    """Of the parameters, how much was kept, and how many wrong labels may be shown to be in it."""

    keep: Number
    max_wrong: Number | None = None


class Parameters(Part):
    """Every parameter, by block."""

    __pydantic_extra__: dict[str, dict[str, JsonValue]] = Field(init=False)  # type: ignore[assignment]
    prepare: Prepare
    optimize: Optimize


class Manifest(Part):
    """manifest.json of a release of Winnow: what made it, and a SHA-256 of each of its files."""

    model_config = ConfigDict(title="Manifest of a release of Winnow")

    format: Literal[2]
    name: Name
    license: Text | None = Field(default=None, description="Of the source, by the hub's name for it.")
    classes: list[Text] = Field(min_length=1, description="Class names; a label is an index into them.")
    pool: Samples
    subset: Samples
    class_counts: dict[Text, Counts] = Field(min_length=1)
    images_sha256: Sha256 = Field(description="Of the ids and SHA-256 of all images, those held out too.")
    quarantined: Count = Field(description="Images that could not be read, or that were dropped before.")
    corrections: dict[Text, Count] = Field(default={}, description="Decisions of a person that were applied, by kind.")
    prepared: dict[Text, list[str]] = Field(
        default={}, description="What was guessed, passed over and set aside when the source was read, a line each."
    )
    encoder: dict[str, JsonValue]
    adapters_sha256: Sha256
    selection: dict[Text, int | float] = Field(
        description="What was kept, dropped by reason, relabelled, and thought of held-out images."
    )
    adaptation: Adaptation
    parameters: Parameters
    results: Results
    packages: dict[Text, Text]
    files: dict[File, Sha256] = Field(max_length=10_000, description="SHA-256 of every other file of the release.")

    @model_validator(mode="after")
    def _fits(self) -> "Manifest":
        if set(self.classes) != set(self.class_counts):
            raise ValueError("class_counts has not the classes of classes")
        return self


@dataclass(frozen=True)
class Release:
    """The folder of a release, and its manifest.

    Attributes:
        folder: where it lies.
        manifest: what it states.
        fingerprint: SHA-256 of the manifest's file, which holds a SHA-256 of everything else.
    """

    folder: Path
    manifest: Manifest
    fingerprint: str

    def check_unchanged(self) -> None:
        """Refuse what was read of the release if another took its place meanwhile.

        Raises:
            WorkError: it did.
        """
        path = self.folder / "manifest.json"
        if not path.is_file() or hashes.file_sha256(path) != self.fingerprint:
            raise WorkError(f"{self.folder} was replaced while it was read; run the same command again")

    @property
    def classes(self) -> list[str]:
        """Class names; a label is an index into them."""
        return self.manifest.classes

    @property
    def ids(self) -> list[str]:
        """The ids that were kept, sorted, as in ids.txt.

        Example:
            >>> winnow.open_release("data/release").ids[:2]
            ['blue/0.png', 'blue/2.png']
        """
        return sorted(self.scores["id"][self.scores["selected"]])

    def verify(self, images: str | Path | None = None, source: str | None = None) -> "list[Fault]":
        """Recompute every hash of the release, and those of its images where they are at hand.

        Args:
            images: folder of the images, as `prepare` wrote it; without it, prepare/images beside the release.
            source: where the source of the images is, if it has moved.

        Returns:
            What is at fault, each with `where` and `what`; empty if nothing is.

        Raises:
            InputError: `images` is no path, or the images that were named cannot be read.

        Example:
            >>> winnow.open_release("data/release").verify()
            []
        """
        from winnow import arguments
        from winnow.releases import verify

        named = None if images is None else arguments.folder("images", images)
        return verify.run(self, verify.at_hand(self, named, source)[0])

    def export(
        self,
        out: str | Path,
        format: "Format" = "imagefolder",
        *,
        images: str | Path | None = None,
        source: str | None = None,
        test: bool = False,
        link: str | Path | None = None,
    ) -> int:
        """Write the images that were kept, or only their list, for use elsewhere.

        Args:
            out: the folder to make; one that holds this very export already is left as it is.
            format: `imagefolder`, `webdataset` or `parquet`, or `ids` for the list alone.
            images: folder of the images, as `prepare` wrote it; without it, prepare/images beside the release.
            source: where the source of the images is, if it has moved.
            test: also write the held-out images, as split test.
            link: image folder that the images came from: `imagefolder` links to its files, where they agree.

        Returns:
            Number of samples written.

        Raises:
            InputError: an argument is at fault, `out` holds something else, or the images are not those of the release.

        Example:
            >>> winnow.open_release("data/release").export("photos-16", "imagefolder")
            16
        """
        from winnow import arguments
        from winnow.releases import export, formats

        place = arguments.folder("out", out)
        arguments.choice("format", format, formats.Format)
        named = None if images is None else arguments.folder("images", images)
        linked = None if link is None else arguments.folder("link", link)
        if link is not None and format != "imagefolder":
            raise ArgumentError("link", "is for imagefolder; the other formats hold images in files of their own")
        request = export.ExportRequest(format, arguments.switch("test", test), linked)
        return export.run(self, place, request, named, source)

    def diff(self, other: "Release | str | Path") -> dict[str, Any]:
        """Everything in which a later release differs from this one: samples, labels, classes, scores, what made it.

        Args:
            other: the later release, or its folder.

        Raises:
            InputError: `other` is neither a release nor a path, or there is no release in that folder.

        Example:
            >>> release = winnow.open_release("data/release")
            >>> release.diff("data/release")["samples"]["kept_by_both"]
            16
        """
        from winnow.releases import diff

        if not isinstance(other, Release | str | os.PathLike):
            raise ArgumentError("other", f"is {other!r:.100}: it must be a release, or the path of one")
        return diff.compare(self, other if isinstance(other, Release) else load(Path(other)))

    @property
    def images(self) -> Path:
        """Where the images lie that the release was chosen from, if it lies where it was made."""
        return self.folder.absolute().parent / "prepare" / "images"

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row for every sample of the pool.

        Raises:
            InputError: the table is missing, cannot be read, or is not one of scores.
        """
        path = self.folder / "scores.parquet"
        if not path.is_file():
            raise InputError(f"{path} is missing; get the release again")
        try:
            if pq.read_metadata(path).num_rows > path.stat().st_size:  # each has ids of its own, and a hash
                raise ValueError("it has more rows than bytes")
            table = pd.read_parquet(path)
        except Exception as error:  # whatever a library makes of a damaged file
            why = one_line(error) or type(error).__name__
            raise InputError(f"{path} cannot be read ({why}); get the release again") from error
        if what := _misfit(table, len(self.classes)):
            raise InputError(f"{path}: {what}; get the release again")
        check_names(table["id"], str(path))
        return table

    @cached_property
    def trainings(self) -> pd.DataFrame | None:
        """One row per evaluation training; None if the release was made before these rows were kept.

        Raises:
            InputError: the table cannot be read, or is not one of trainings.
        """
        path = self.folder / "accuracy.csv"
        if not path.is_file():
            return None
        try:
            table = pd.read_csv(path)
        except Exception as error:  # whatever a library makes of a damaged file
            why = one_line(error) or type(error).__name__
            raise InputError(f"{path} cannot be read ({why}); get the release again") from error
        if missing := [column for column in ("arm", "seed", "accuracy") if column not in table]:
            raise InputError(f"{path} has no column {missing[0]!r}; get the release again")
        for column in table.columns.difference(["arm", "budget"]):
            if not is_numeric_dtype(table[column]):
                raise InputError(f"{path}: {one_line(column)} should hold numbers; get the release again")
        return table


def _misfit(table: pd.DataFrame, classes: int) -> str | None:
    """Why a table cannot be one of scores."""
    if missing := [column for column in COLUMNS if column not in table]:
        return f"it has no column {missing[0]!r}"
    for column, (is_fit, words) in COLUMNS.items():
        if not is_fit(table[column]) or (column != "alignment" and table[column].isna().any()):
            return f"{column} is {table[column].dtype}, perhaps with gaps, and should hold {words}"
    if (twice := table["id"].duplicated()).any():
        return f"the id {quoted(table['id'][twice].iloc[0])} occurs twice"
    if not table["label"].between(0, classes - 1).all():
        return "a label is none of the classes"
    return None


def load(folder: Path) -> Release:
    """Open the release in a folder.

    Raises:
        InputError: there is none, its manifest has not the form of one, it is of another version of the format, or a
            link leads out of it.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no release (no manifest.json); make one with `dvc repro`")
    _refuse_links(folder)
    try:
        stated = json_files.read_json(path, LARGEST)
    except InputError as error:
        raise InputError(f"{error}; it is not the manifest of a release, so get the release again") from error
    version = stated.get("format") if isinstance(stated, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise InputError(
            f"{folder} is a release of format {version}, and this Winnow reads format {FORMAT}. Its ids.txt and "
            "scores.parquet can be read by anything; for the rest, check out the commit that made it"
        )
    if what := _unprintable(stated):
        raise InputError(f"{path} is not the manifest of a release: {what}; get the release again")
    try:
        return Release(folder, Manifest.model_validate(stated), hashes.file_sha256(path))
    except ValidationError as error:
        raise InputError(f"{path} is not the manifest of a release: {_faults(error)}; get the release again") from error


def _refuse_links(folder: Path) -> None:
    """Refuse links out of a release: what they lead to would be read, and shown where it does not fit."""
    here = os.path.realpath(folder)
    for path in folder.rglob("*"):
        if not path.is_symlink() or not (path.is_file() or path.is_dir()):
            continue
        target = os.path.realpath(path)
        if os.path.commonpath([here, target]) != here and not CACHED.search(target):
            raise InputError(f"{one_line(path)} is a link that leads out of the release; get the release again")


def _unprintable(tree: object) -> str | None:
    """Where a text is no Unicode: JSON can spell halves of surrogate pairs, and nothing can write them."""
    waiting: list[tuple[tuple[int | str, ...], object]] = [((), tree)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str) and SURROGATE.search(value):
            return f"{_key(place)} is not UTF-8"
        if isinstance(value, dict | list):
            for key, part in value.items() if isinstance(value, dict) else enumerate(value):
                waiting += [((*place, key), key), ((*place, key), part)]
    return None


def _faults(error: ValidationError) -> str:
    """The first keys at fault, and what is wrong with each."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        ": ".join(filter(None, [_key(fault["loc"]), fault["msg"].removeprefix("Value error, ")])) for fault in found
    ]
    return "; ".join(lines[:SHOWN]) + (f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else "")


def _key(place: tuple[int | str, ...]) -> str:
    return ".".join(one_line(part if len(str(part)) <= 100 else f"{str(part)[:100]}…") for part in place[:6])


def digest(table: pd.DataFrame) -> str:
    """SHA-256 of the ids and labels of a table, whatever its order."""
    return features.digest(table["id"].to_numpy(dtype=str), table["label"].to_numpy())


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of dictionaries as one, with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
