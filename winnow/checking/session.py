"""A sample of a project that people answer: which images, what was said of them so far, and what that shows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from winnow import corrections
from winnow.checking import record, results, sampling
from winnow.checking.results import Answers, Finding
from winnow.checking.sampling import Sample
from winnow.corrections import ANSWERS
from winnow.errors import InputError
from winnow.images import dataset
from winnow.images.dataset import Dataset
from winnow.names import SHOWN
from winnow.run.settings import Settings

TABLE, IMAGES = Path("data/optimize/subset.parquet"), Path("data/prepare/images")


@dataclass(frozen=True)
class Session:
    """A sample of what the stages left in the working directory.

    Attributes:
        table: what optimize left, a row an image.
        data: the images.
        path: of corrections.csv.
        size: of the sample.
        seed: that draws it.
        max_wrong: the share of wrong labels that may be kept.
    """

    table: pd.DataFrame
    data: Dataset
    path: Path
    size: int
    seed: int
    max_wrong: float | None

    @cached_property
    def sample(self) -> Sample:
        """The images to ask about."""
        return sampling.draw(self.table, self.size, self.seed)

    @cached_property
    def shown(self) -> list[dict[str, str]]:
        """Of each image of the sample, in the order shown: id, label, and the class that it looks like."""
        drawn = self.table.iloc[self.sample.rows]
        given, likely = drawn["class_name"], (self.data.classes[c] for c in drawn["predicted"])
        return [{"id": i, "given": g, "likely": k} for i, g, k in zip(drawn["id"], given, likely, strict=True)]

    def answers(self) -> Answers:
        """What was said so far.

        Raises:
            InputError: corrections.csv cannot be read.
        """
        if not self.path.exists():
            return Answers(np.full(len(self.table), ""), [], [])
        made = corrections.read(self.path, self.data.classes, set(self.table["id"]))
        return results.read(made, self.table)

    def check_unspent(self) -> None:
        """Refuse a sample whose images were relabelled or dropped since.

        Raises:
            InputError: it is one.
        """
        if (self.size, self.seed) in self.answers().spent:
            raise InputError(
                f"--seed {self.seed}: images of this sample were relabelled or dropped since, so that it no longer "
                f"shows how many labels are wrong; draw another with --seed {self.seed + 1}"
            )

    def answer(self, number: int, decision: str, label: str, by: str) -> None:
        """Record an answer about an image by its number in the sample.

        Raises:
            InputError: there is no such image, answer or class.
        """
        if not 0 <= number < len(self.shown):
            raise InputError(f"there is no image {number} in the sample")
        if decision not in ANSWERS:
            raise InputError(f"{decision[:SHOWN]!r} is no answer; there are {', '.join(ANSWERS)}")
        if label and (decision != "wrong" or label not in self.data.classes):
            raise InputError(f"{label[:SHOWN]!r} is no class")
        image, name = self.shown[number], " ".join(by.split())[:SHOWN]
        on = datetime.now(UTC).isoformat(timespec="seconds")
        about = {"id": image["id"], "given": image["given"], "by": name, "on": on}
        sample = results.name(self.size, self.seed)
        record.append(self.path, about | {"decision": decision, "label": label, "sample": sample})

    def state(self) -> dict[str, Any]:
        """What was said of each image of the sample, and what all that shows."""
        answers = self.answers()
        said = answers.said[self.sample.rows].tolist()
        counts = {kind: said.count(kind) for kind in ANSWERS}
        found = results.find(self.table, answers, self.max_wrong) if "" not in said else None
        about = {"found": _stated(found), "lines": self._lines(found)}
        return about | {"said": said, "counts": counts, "left": said.count("")}

    def _lines(self, found: Finding | None) -> list[str]:
        if not found:
            return []
        kept = int(found.kept.sum())
        return [
            f"wrong among the {kept:,} kept: about {found.wrong:.2%}, at most {found.at_most:.2%} with "
            f"{100 * found.confidence:.4g}% confidence (exact; unsure counts as wrong)",
            f"wrong among all {len(self.table):,}: about {found.pool:.1%}",
        ]


def _stated(found: Finding | None) -> dict[str, float | int] | None:
    if found is None:
        return None
    keys = ("size", "seed", "wrong", "at_most", "confidence", "pool")
    return {key: getattr(found, key) for key in keys} | {"kept": int(found.kept.sum())}


def start(settings: Settings, size: int, seed: int) -> Session:
    """Open the sample of the project in the working directory.

    Raises:
        InputError: its stages have not run, or the sample says nothing any more.
    """
    if not TABLE.is_file() or not IMAGES.is_dir():
        raise InputError(f"{Path.cwd()} has no {TABLE}; run dvc repro first, or name the project's folder")
    data = dataset.load(IMAGES)
    how = settings.optimize.max_wrong
    session = Session(pd.read_parquet(TABLE), data, Path(settings.prepare.corrections), size, seed, how)
    session.check_unspent()
    return session
