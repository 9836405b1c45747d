"""What answers say of the labels: the share that is wrong in what is kept, with a bound, and recalibrated verdicts.

The bound is of the images that are kept before any answer is looked at, so that the answers cannot have chosen what
they are a sample of. Alignment is recalibrated beside that choice and does not enter it. Images that were found wrong
leave afterwards; whatever takes their places counts as wrong in the bound, which therefore still holds. "Unsure" counts
as wrong in the bound, and teaches the calibration nothing.

A bound is stated only where every image of a sample was answered. The sample is drawn again from the scores: if they
have changed since, other images belong to it, and those have to be answered too. A sample of which images were
relabelled or dropped later says nothing of the labels that nobody looked at, so it is spent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from winnow.checking import bounds, calibration, sampling
from winnow.checking.bounds import Stratum
from winnow.checking.calibration import Calibration
from winnow.checking.sampling import REST, SURE, Sample
from winnow.corrections import ANSWERS, DECISIONS, SAMPLE

CONFIDENCE = 0.95
RIGHT, WRONG, UNSURE = ANSWERS
LEAST = 10  # answers to recalibrate by
# Shares of what is kept of each class, the best aligned, of which one is to meet `max_wrong`, and the part of the
# error that each may be tried with from the start; one that meets it hands its own on to the next (fallback procedure,
# Wiens 2003).
TRIMS = {sampling.SUREST: 0.5, 0.75: 0.0, 0.8: 0.0, 0.85: 0.0, 0.9: 0.0, 0.95: 0.0, 1.0: 0.5}


@dataclass(frozen=True)
class Answers:
    """What a person said of the labels as they are now.

    Attributes:
        said: (N,) right, wrong, unsure, or nothing.
        samples: size and seed of each sample that was asked for, the largest first.
        spent: those whose images were relabelled or dropped since.
    """

    said: np.ndarray
    samples: list[tuple[int, int]]
    spent: list[tuple[int, int]]


@dataclass(frozen=True)
class Finding:
    """What a sample that was answered says of what is kept.

    Attributes:
        size: of the sample.
        seed: that drew it.
        kept: (N,) bool, of what: all that was kept before, or the part of it that meets `max_wrong`.
        wrong: share of it whose labels are wrong, estimated without bias where no answer is unsure.
        at_most: an upper bound of that share, which holds with `confidence`; "unsure" counts as wrong.
        confidence: of the bound.
        pool: share of all images whose labels are wrong, estimated.
    """

    size: int
    seed: int
    kept: np.ndarray
    wrong: float
    at_most: float
    confidence: float
    pool: float


def read(made: pd.DataFrame, table: pd.DataFrame) -> Answers:
    """The answers about the images of a table, as far as they are about the labels that those have.

    Args:
        made: rows of corrections.csv, decisions too: id, decision, given, and sample where there are answers.
        table: columns id and class_name; a row an image.
    """
    answers = made[made["decision"].isin(ANSWERS)]
    if not len(answers):
        return Answers(np.full(len(table), ""), [], [])
    labels = answers["id"].map(table.set_index("id")["class_name"])
    current = answers[(answers["given"] == labels) | ((answers["given"] == "") & labels.notna())]
    said = current.set_index("id")["decision"].reindex(table["id"], fill_value="").to_numpy(dtype=str)
    if SAMPLE not in made:
        return Answers(said, [], [])
    changed = made.loc[made["decision"].isin(DECISIONS) & (made["decision"] != "keep"), "id"]
    spent = set(made.loc[made["id"].isin(changed), SAMPLE]) - {""}
    known = sorted((parse(name) for name in set(made[SAMPLE]) - {""}), key=lambda one: (-one[0], one[1]))
    gone = [one for one in known if name(*one) in spent]
    return Answers(said, [one for one in known if one not in gone], gone)


def load(path: Path, table: pd.DataFrame) -> Answers | None:
    """The answers in the table of decisions that `prepare` leaves; None where there are none about these labels."""
    found = read(pd.read_parquet(path), table)
    return found if (found.said != "").any() else None


def name(size: int, seed: int) -> str:
    """How rows of corrections.csv name a sample."""
    return f"{size}-{seed}"


def parse(sample: str) -> tuple[int, int]:
    """Size and seed of a sample by its name."""
    size, _, seed = sample.partition("-")
    return int(size), int(seed)


def find(table: pd.DataFrame, answers: Answers, max_wrong: float | None = None) -> Finding | None:
    """What the largest sample says of which every image was answered; None where there is none.

    Args:
        table: the scores: columns id, label, alignment, and selected or stratum as `settle` leaves it; a row an image.
        answers: about the same rows.
        max_wrong: the share of wrong labels that may be kept; what is kept is cut to the part that is shown to have no
            more, and left as it is where no part is.
    """
    for size, seed in answers.samples:
        sample = sampling.draw(table, size, seed)
        if is_answered(sample, answers) and all(sample.drawn[h] or not sample.size[h] for h in (SURE, REST)):
            return _found(table, answers, sample, (size, seed), max_wrong)
    return None


def is_answered(sample: Sample, answers: Answers) -> bool:
    """Whether there is an answer to every image of a sample."""
    return bool(len(sample.rows)) and bool((answers.said[sample.rows] != "").all())


def _found(
    table: pd.DataFrame, answers: Answers, sample: Sample, drawn_by: tuple[int, int], max_wrong: float | None
) -> Finding | None:
    kept, error = sample.stratum <= REST, 1 - CONFIDENCE
    if not kept.any():
        return None
    at_most = _bound(answers, sample, kept, error)
    if max_wrong is not None:
        kept, error, at_most = _largest_part(table, answers, sample, max_wrong)
    wrong = (answers.said == WRONG) * 1.0
    stands_for = np.zeros(len(table))
    stands_for[sample.rows] = sample.stands_for
    share = float(wrong[kept] @ stands_for[kept]) / int(kept.sum())
    pool = float(wrong @ stands_for) / len(table)
    return Finding(*drawn_by, kept, share, at_most, 1 - error, pool)


def _bound(answers: Answers, sample: Sample, kept: np.ndarray, error: float) -> float:
    """The share wrong in what is `kept` (N,), above which it is with a chance of at most `error`."""
    return min(1.0, bounds.upper(list(_strata(answers, sample, kept)), 1 - error) / int(kept.sum()))


def _strata(answers: Answers, sample: Sample, kept: np.ndarray) -> Iterator[Stratum]:
    """What was found in the strata that make up what is `kept`, or hold a part of it."""
    rows = sample.rows[kept[sample.rows] & np.isin(answers.said[sample.rows], [WRONG, UNSURE])]
    for h in (SURE, REST):
        if (kept & (sample.stratum == h)).any():
            yield Stratum(int(sample.size[h]), int(sample.drawn[h]), int((sample.stratum[rows] == h).sum()))


def _largest_part(
    table: pd.DataFrame, answers: Answers, sample: Sample, max_wrong: float
) -> tuple[np.ndarray, float, float]:
    """The largest part of what is kept that is shown to meet `max_wrong`, else all; its error and its bound."""
    every, labels = sample.stratum <= REST, table["label"].to_numpy()
    worth = np.where(every, table["alignment"].to_numpy(), -np.inf)
    rank = sampling.rank_in_class(worth, labels, table["id"].to_numpy(dtype=str))
    counts = np.bincount(labels[every], minlength=labels.max() + 1)
    handed, best = 0.0, None
    for share, own in TRIMS.items():
        error = handed + own * (1 - CONFIDENCE)
        part = every & (rank < np.ceil(share * counts - 1e-9)[labels])
        at_most = _bound(answers, sample, part, error) if error else 1.0
        if at_most <= max_wrong:
            best, handed = (part, error, at_most), error
        else:
            handed = 0.0
    return best or (every, error, at_most)


def calibrate(table: pd.DataFrame, answers: Answers) -> Calibration | None:
    """Fit to the answers that are right or wrong; None where there are too few of them."""
    asked = np.flatnonzero(np.isin(answers.said, [RIGHT, WRONG]))
    if len(asked) < LEAST:
        return None
    return calibration.fit(table["alignment"].to_numpy(), asked, answers.said[asked] == RIGHT)


def numbers(
    answers: Answers, found: Finding | None, fitted: Calibration | None, max_wrong: float | None
) -> dict[str, float | int]:
    """For metrics and the manifest: what was said, and what follows."""
    said: dict[str, float | int] = {f"answers_{kind}": int((answers.said == kind).sum()) for kind in ANSWERS}
    if fitted:
        said |= {
            "calibration_slope": fitted.slope,
            "calibration_offset": fitted.offset,
            "doubted_below": fitted.doubted_below,
        }
    if found:
        said |= {
            "checked": found.size,
            "wrong_kept": found.wrong,
            "wrong_kept_at_most": found.at_most,
            "wrong_kept_confidence": found.confidence,
            "wrong_pool": found.pool,
        }
    if max_wrong is not None:
        said |= {"max_wrong": max_wrong}
    return said
