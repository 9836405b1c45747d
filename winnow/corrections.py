"""A person's decisions, as the report saves them, and answers, as `winnow check` does.

corrections.csv has a header and one row per decision: id, decision (keep, drop or relabel) and label (the name of the
right class, for relabel). Optional columns are given (the class at the time), by, on and release. Any spreadsheet
program can edit it.

An answer says whether a label is right: its decision is right, wrong (label may name the right class) or unsure, and
sample names the sample that it was asked for (`checking.results`). It changes no label and drops nothing here; the
stage optimize uses it. Of several answers about an image the last row counts.
"""

import io
import logging
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from winnow import text
from winnow.errors import InputError
from winnow.names import SHOWN, quoted
from winnow.terminal.say import one_line

DECISIONS = ("keep", "drop", "relabel")
ANSWERS = ("right", "wrong", "unsure")
KINDS = (*DECISIONS, *ANSWERS)
LISTED = f"{', '.join(KINDS[:-1])} and {KINDS[-1]}"
PROVENANCE = ["given", "by", "on", "release"]
COLUMNS = ["id", "decision", "label", *PROVENANCE]
SAMPLE = "sample"  # a column beside those where there are answers
SAMPLES = re.compile(r"\d{1,6}-\d{1,10}")  # size and seed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corrected:
    """A table with decisions applied.

    Attributes:
        table: the same table with corrected labels.
        dropped: (N,) bool, the rows to drop.
        kept: (N,) bool, the rows to keep whatever they look like.
        relabelled: (N,) bool, the rows that a person gave a label.
        applied: a row for each decision and answer about a sample that is there: COLUMNS, was (the class before), and
            sample where there are answers.
    """

    table: pd.DataFrame
    dropped: np.ndarray
    kept: np.ndarray
    relabelled: np.ndarray
    applied: pd.DataFrame


def apply(table: pd.DataFrame, classes: list[str], path: Path | None) -> Corrected:
    """Apply the decisions in the file at `path` (None: there are none) to a table with the columns id and label.

    A decision about an id that is not there is said and passed over: the sample has gone since.

    Raises:
        InputError: the file cannot be read, or a decision cannot be understood.
    """
    decisions = _read(path, classes, set(table["id"])) if path else pd.DataFrame(columns=COLUMNS, dtype=str)
    there = decisions["id"].isin(table["id"])
    if not there.all():
        gone = decisions.loc[~there, "id"]
        log.warning(
            "%s: decisions are about %d ids that are not there, %s first", path, len(gone), quoted(gone.iloc[0])
        )
    applied = decisions[there].reset_index(drop=True)
    labels = table.set_index("id")["label"]
    applied["was"] = pd.Series([classes[label] for label in labels[applied["id"]]], dtype=str)
    decided = applied[applied["decision"].isin(DECISIONS)].set_index("id")
    made = table["id"].map(decided["decision"])
    to = table["id"].map(decided["label"]).map({name: label for label, name in enumerate(classes)})
    relabelled = (made == "relabel").to_numpy()
    corrected = table.assign(label=np.where(relabelled, to, table["label"]).astype(np.int64))
    return Corrected(corrected, (made == "drop").to_numpy(), (made == "keep").to_numpy(), relabelled, applied)


def kept(path: Path, ids: np.ndarray) -> np.ndarray:
    """(N,) bool: which of `ids` (N,) a person said to keep, by the table of decisions that `prepare` leaves."""
    table = pd.read_parquet(path)
    return np.isin(ids, table.loc[table["decision"] == "keep", "id"].to_numpy(dtype=str))


def decided(path: Path, ids: np.ndarray) -> np.ndarray:
    """(N,) bool: about which of `ids` (N,) a person decided, by the table of decisions that `prepare` leaves."""
    return np.isin(ids, pd.read_parquet(path)["id"].to_numpy(dtype=str))


def read(path: Path, classes: list[str], ids: Container[str]) -> pd.DataFrame:
    """The decisions and answers in a file, checked: at most one of either an id. Columns: COLUMNS, and sample.

    Raises:
        InputError: the file cannot be read, or a decision cannot be understood.
    """
    table = _read(path, classes, ids)
    return table if SAMPLE in table else table.assign(**{SAMPLE: ""})


def _read(path: Path, classes: list[str], ids: Container[str]) -> pd.DataFrame:
    """The decisions, checked: one an id, and the last answer. Spreadsheets may have saved them in other forms."""
    if not path.expanduser().is_file():
        raise InputError(f"prepare.corrections: {path} does not exist; make one with the header id,decision,label")
    try:
        words = text.decode(
            path.expanduser().read_bytes(), f"prepare.corrections: {path} is not a readable CSV table: it"
        )
        separator = max(",;\t", key=words.partition("\n")[0].count)
        table = pd.read_csv(io.StringIO(words), sep=separator, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except InputError:
        raise
    except (ValueError, OSError) as error:  # no rows, no table
        raise InputError(f"prepare.corrections: {path} is not a readable CSV table ({error})") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too many for names of rows
        raise InputError(f"prepare.corrections: {path} has rows with more values than its header has columns")
    table = table.rename(columns=lambda name: name.strip().lower())
    if twice := [column for column in (*COLUMNS, SAMPLE) if list(table.columns).count(column) > 1]:
        raise InputError(f"prepare.corrections: {path} has the column {twice[0]!r} twice")
    if missing := [column for column in COLUMNS[:3] if column not in table]:
        raise InputError(f"prepare.corrections: {path} has no column {missing[0]!r}; it needs id, decision and label")
    table = table.reindex(columns=[*COLUMNS, SAMPLE], fill_value="").fillna("")
    table["decision"] = table["decision"].str.strip().str.lower()
    table["label"] = [label if label in classes else text.as_listed(label.strip(), classes) for label in table["label"]]
    table["id"] = [text.as_listed(name, ids) for name in table["id"]]
    table = table[(table[COLUMNS[:3]] != "").any(axis=1)]
    _check(path, table, classes)
    answers = table["decision"].isin(ANSWERS)
    if not answers.any():
        return table[COLUMNS].drop_duplicates(["id", "decision", "label"])
    decided = table[~answers].drop_duplicates(["id", "decision", "label"])
    return pd.concat([decided, table[answers].drop_duplicates("id", keep="last")]).sort_index()


def _check(path: Path, table: pd.DataFrame, classes: list[str]) -> None:
    relabel, wrong_to = table["decision"] == "relabel", (table["decision"] == "wrong") & (table["label"] != "")
    clear = table.loc[table["decision"].isin(DECISIONS), ["id", "decision", "label"]].drop_duplicates()
    twice = table["id"].isin(clear.loc[clear["id"].duplicated(), "id"]) & table["decision"].isin(DECISIONS)
    for wrong, what in (
        (~table["decision"].isin(KINDS), "the decision {decision!r} is none of " + LISTED),
        (relabel & ~table["label"].isin(classes), "there is no class {label!r} to relabel to"),
        (wrong_to & ~table["label"].isin(classes), "there is no class {label!r}, which is said to be right"),
        (~relabel & ~wrong_to & (table["label"] != ""), "{decision} takes no label, and {label!r} is given"),
        (twice, "there are different decisions about it"),
        (~table[SAMPLE].str.fullmatch(SAMPLES.pattern + "|"), "its sample is none; leave that column as it was"),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            row, line = table.iloc[first], table.index.tolist()[first]  # rows keep their numbers, those left out too
            words = what.format(decision=row["decision"], label=row["label"])
            raise InputError(f"prepare.corrections: {path}: line {line + 2}, {one_line(row['id'][:SHOWN])}: {words}")
