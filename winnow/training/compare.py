"""Compare two arms, paired by seed, because the same seed gives both arms the same random choices."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from scipy import stats

from winnow.errors import InputError
from winnow.files.streams import is_stream
from winnow.terminal.say import one_line

ARM = ("arm", "method")  # the column that says what a model was trained on, in whichever table
SHARES = ("accuracy", "trusted_accuracy", "worst_class", "calibration_error", "wrong_left", "damaged_left")
MEASURED = (*SHARES, "kept", "seconds", "training_seconds", "samples_seen")
CONFIDENCE, POWER = 0.95, 0.8
RESAMPLES = 9999
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Difference:
    """A measure of one arm less that of another, in the same setting.

    Attributes:
        setting: what the rows have in common, such as the data set and the share kept.
        seeds: pairs that were compared.
        a: mean of the first arm.
        b: mean of the second.
        mean: of the differences.
        low, high: bounds of a 95% bootstrap interval of the mean; not numbers with fewer than two seeds.
        needed: seeds with which a paired t test would tell a difference of this size in four of five tries; None if
            that takes more than MOST_SEEDS.
    """

    setting: dict[str, object]
    seeds: int
    a: float
    b: float
    mean: float
    low: float
    high: float
    needed: int | None


def read(path: Path) -> pd.DataFrame:
    """A table of results in CSV.

    Raises:
        InputError: there is none, or it is not CSV.
    """
    if is_stream(path):
        raise InputError(f"{path} is not a table in CSV: it is a pipe or a device")
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(ARM, "str"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; `dvc repro` writes data/evaluate/accuracy.csv") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a table in CSV ({one_line(error)})") from error
    for name in set(ARM) & set(table.columns):
        if (blank := table[name].isna()).any():
            raise InputError(f"{path}: line {int(np.flatnonzero(blank)[0]) + 2} has no {name}")
    return table


def compare(table: pd.DataFrame, a: str, b: str, measure: str = "accuracy") -> list[Difference]:
    """Compare two arms in every setting of a table that has both.

    Args:
        table: columns accuracy, seed, and arm or method; every other column that was not measured is a setting.
        a: an arm.
        b: another.
        measure: the column that is compared.

    Returns:
        A difference a setting, in the order of the table; of the seeds for which both arms have the measure.

    Raises:
        InputError: the table lacks a column, an arm is not in it, a cell occurs twice, or no setting has both.
    """
    arm = _arm_column(table)
    for name in (a, b):
        if name not in set(table[arm]):
            raise InputError(f"no {arm} is called {name!r}; there are {_listed(sorted(set(table[arm])))}")
    settings = [name for name in table.columns if name not in (arm, "seed", *MEASURED) and not elsewhere(name)]
    cell = [*settings, arm, "seed"]
    if (twice := table.duplicated(cell)).any():
        raise InputError(f"a cell occurs twice: {table.loc[twice, cell].iloc[0].to_dict()}")
    known = [name for name in table.columns if name in SHARES or elsewhere(name)]
    if measure not in known:
        raise InputError(f"no measure is called {measure!r}; there are {_listed(known)}")
    _check_numbers(table[measure], measure)
    of = {name: table.loc[table[arm] == name, [*settings, "seed", measure]] for name in (a, b)}
    pairs = of[a].merge(of[b], on=[*settings, "seed"], suffixes=("_a", "_b"))
    pairs = pairs.dropna(subset=[f"{measure}_a", f"{measure}_b"])
    if pairs.empty:
        raise InputError(f"{a} and {b} have no setting and seed in common")
    groups = pairs.groupby(settings, sort=False, dropna=False) if settings else [((), pairs)]
    return [
        _difference(dict(zip(settings, key, strict=True)), rows[[f"{measure}_a", f"{measure}_b"]].to_numpy())
        for key, rows in groups
    ]


def elsewhere(name: str) -> bool:
    """Whether a column holds accuracies on a shifted test set."""
    return name.startswith("accuracy_")


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(one_line, names))


def _check_numbers(values: pd.Series, measure: str) -> None:
    """Refuse a measure that is not of numbers. One that is missing was not measured: its pair is left out."""
    if not is_numeric_dtype(values) or is_bool_dtype(values):
        raise InputError(f"{measure} should hold numbers, and does not in every row")
    if np.isinf(values.to_numpy(dtype=float)).any():
        raise InputError(f"{measure} should hold numbers, and one is infinite")


def _arm_column(table: pd.DataFrame) -> str:
    arm = next((name for name in ARM if name in table.columns), None)
    if arm is None or not {"accuracy", "seed"} <= set(table.columns):
        raise InputError(
            f"a table of results has columns accuracy, seed, and {' or '.join(ARM)}; these are {_listed(table.columns)}"
        )
    return arm


def _difference(setting: dict[str, object], pairs: np.ndarray) -> Difference:
    """Of (n, 2) accuracies, a row a seed."""
    gap = pairs[:, 0] - pairs[:, 1]
    low, high = interval(gap)
    a, b = pairs.mean(0)
    return Difference(setting, len(gap), float(a), float(b), float(gap.mean()), low, high, seeds_needed(gap))


def interval(gap: np.ndarray) -> tuple[float, float]:
    """Bounds of the percentile bootstrap interval of the mean of (n,) differences; the same for the same numbers."""
    if len(gap) < 2:
        return np.nan, np.nan
    found = stats.bootstrap(
        (gap,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def seeds_needed(gap: np.ndarray) -> int | None:
    """The least n for which a paired t test at 5% finds a difference as large as the mean of `gap` with power 0.8."""
    if len(gap) < 2 or gap.mean() == 0:
        return None
    deviation = gap.std(ddof=1)
    if deviation == 0:
        return 2
    effect = abs(gap.mean()) / deviation
    n = np.arange(2, MOST_SEEDS + 1)
    limit = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    power = stats.nct.sf(limit, n - 1, effect * np.sqrt(n))
    return int(n[power >= POWER][0]) if (power >= POWER).any() else None
