"""The gate: decide whether a release may be published without a person having looked at it.

The release is compared with the champion, the last published version. If there is none, only the release's own tables
are checked. A release that fails remains a candidate, which a person can inspect and publish anyway.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from winnow.errors import InputError
from winnow.names import quoted
from winnow.releases.manifest import Release
from winnow.selection.reasons import DAMAGED, SUSPECTED

ARM = "subset"


@dataclass(frozen=True)
class Limits:
    """What a release may do to be published on its own.

    Attributes:
        accuracy_loss: most accuracy that may be lost, however noisy the seeds are.
        confidence: with which a smaller loss has to be more than the noise of the seeds to be refused.
        least_kept: images of each class that must be kept, or all that it has.
        class_loss: most share of what the champion kept of a class that may be lost.
        faulty_rise: share of the images by which more than the champion's may be unreadable, suspected or damaged.
        drift: most distance (Kolmogorov-Smirnov) between the alignments of the two pools.
    """

    accuracy_loss: float = 0.02
    confidence: float = 0.95
    least_kept: int = 1
    class_loss: float = 0.5
    faulty_rise: float = 0.05
    drift: float = 0.1


@dataclass(frozen=True)
class Check:
    """One check, as text for people.

    Attributes:
        name: what is checked.
        champion: what the champion has; empty where it is not asked.
        candidate: what the release has.
        allowed: the limit.
        fault: why it is refused; None where the check holds.
    """

    name: str
    champion: str
    candidate: str
    allowed: str
    fault: str | None = None


def judge(candidate: Release, champion: Release | None, limits: Limits) -> list[Check]:
    """Every check of a release; one whose table cannot be used is judged by no other."""
    schema = _schema(candidate, champion)
    if schema.fault:
        return [schema]
    checks = [schema, _floor(candidate, limits.least_kept), *_wrong(candidate)]
    if champion:
        checks += [
            _accuracy(candidate, champion, limits),
            _classes(candidate, champion, limits.class_loss),
            _faulty(candidate, champion, limits.faulty_rise),
            _drift(candidate, champion, limits.drift),
        ]
    return checks


def faults(checks: list[Check]) -> list[str]:
    """Why a release is refused; empty where it may be published."""
    return [check.fault for check in checks if check.fault]


def _schema(candidate: Release, champion: Release | None) -> Check:
    """The table of scores is whole, and what reads the champion's can read it."""
    wrong = list(_misfits(candidate, champion))
    fault = f"scores.parquet: {'; '.join(wrong)}" if wrong else None
    return Check("schema of scores.parquet", "", f"{len(wrong)} misfits", "0", fault)


def _misfits(candidate: Release, champion: Release | None) -> Iterator[str]:
    try:
        table = candidate.scores
    except InputError as error:
        yield str(error)
        return
    if not np.isfinite(table["alignment"].to_numpy(dtype=float)).all():
        yield "an alignment is no number"
    for name, column in champion.scores.items() if champion else ():
        if name not in table:
            yield f"the champion has a column {name}, and this has none"
        elif table[name].dtype != column.dtype and table[name].notna().any() and column.notna().any():
            yield f"{name} is {table[name].dtype}, the champion's {column.dtype}"


def _floor(candidate: Release, least: int) -> Check:
    """Of each class some images are left."""
    counts = candidate.manifest.class_counts
    lacking = {name: n.kept for name, n in counts.items() if n.kept < min(least, n.pool)}
    found = f"{min(n.kept for n in counts.values())} in the smallest class"
    fault = f"too little is kept of {_some(lacking, 'images')}; at least {least} are asked for" if lacking else None
    return Check("images kept of each class", "", found, f"at least {least}", fault)


def _wrong(candidate: Release) -> Iterator[Check]:
    """Answers of a person show that no more labels are wrong than `optimize.max_wrong` allows, where it is set."""
    most, shown = candidate.manifest.parameters.optimize.max_wrong, candidate.manifest.selection
    if most is None:
        return
    bound = shown.get("wrong_kept_at_most")
    found = "not known" if bound is None else f"at most {bound:.2%}"
    fault = f"wrong labels among the kept: {found}, and optimize.max_wrong is {most:.2%}; see winnow check --report"
    holds = bound is not None and bound <= most
    yield Check("wrong labels among the kept", "", found, f"at most {most:.2%}", None if holds else fault)


def _classes(candidate: Release, champion: Release, most: float) -> Check:
    """No class lost more than a share of what the champion has of it; one that is gone lost all."""
    now = candidate.manifest.class_counts
    kept = {name: n.kept for name, n in champion.manifest.class_counts.items() if n.kept}
    lost = {name: 1 - (now[name].kept if name in now else 0) / before for name, before in kept.items()}
    worst = max(lost, key=lambda name: lost[name], default="")
    lacking = {name: share for name, share in lost.items() if share > most}
    fault = f"more than {most:.0%} is lost of {_some(lacking, 'lost', '.0%')}" if lacking else None
    return Check("most lost of a class", "", f"{max(0.0, lost.get(worst, 0)):.1%}", f"at most {most:.0%}", fault)


def _some(lacking: dict[str, int] | dict[str, float], word: str, form: str = "d") -> str:
    """The first few of the classes at fault."""
    first = [f"{quoted(name)} ({number:{form}} {word})" for name, number in list(lacking.items())[:3]]
    return ", ".join(first) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")


def _faulty(candidate: Release, champion: Release, rise: float) -> Check:
    """Not many more images are at fault: that is a fault of the data, or of what judges them."""
    now, before = _share_at_fault(candidate), _share_at_fault(champion)
    fault = f"{now:.1%} of the images are unreadable, suspected or damaged, {before:.1%} in the champion"
    allowed = f"at most {before + rise:.1%}"
    return Check(
        "share dropped as faulty", f"{before:.1%}", f"{now:.1%}", allowed, fault if now > before + rise else None
    )


def _share_at_fault(release: Release) -> float:
    dropped = int(release.scores["reason"].isin([SUSPECTED, DAMAGED]).sum())
    unread = release.manifest.quarantined
    return (dropped + unread) / max(len(release.scores) + unread, 1)


def _drift(candidate: Release, champion: Release, most: float) -> Check:
    """Labels are judged as they were: the two distributions of alignment are alike."""
    sides = (release.scores["alignment"].to_numpy(dtype=float) for release in (candidate, champion))
    distance = float(stats.ks_2samp(*sides).statistic)
    fault = f"the alignments have drifted from the champion's by {distance:.3f} (Kolmogorov-Smirnov)"
    return Check("drift of alignment", "", f"{distance:.3f}", f"at most {most:g}", fault if distance > most else None)


def _accuracy(candidate: Release, champion: Release, limits: Limits) -> Check:
    """Models trained on it are as good, as far as the seeds can tell."""
    now, before = _by_seed(candidate), _by_seed(champion)
    loss = float(before.mean() - now.mean())
    same = candidate.manifest.images_sha256 == champion.manifest.images_sha256
    chance = _chance(now, before, paired=same and now.index.equals(before.index))
    noise = f"p = {chance:.3g}" if np.isfinite(chance) else "one seed"
    fault = None
    if loss > limits.accuracy_loss:
        fault = f"accuracy {now.mean():.2%} is {loss:.2%} below the champion's, more than {limits.accuracy_loss:.2%}"
    elif loss > 0 and not chance >= 1 - limits.confidence:  # no number: the noise is not known
        fault = f"accuracy {now.mean():.2%} is {loss:.2%} below the champion's, more than the noise ({noise})"
    allowed = f"less than {limits.accuracy_loss:.2%} lost, within the noise"
    return Check("accuracy", f"{before.mean():.2%}", f"{now.mean():.2%}", allowed, fault)


def _chance(now: pd.Series, before: pd.Series, *, paired: bool) -> float:
    """The p-value of a one-sided t test that nothing was lost; not a number where that cannot be told."""
    if min(len(now), len(before)) < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # seeds that agree in every digit
        if paired:
            return float(stats.ttest_rel(now, before, alternative="less").pvalue)
        return float(stats.ttest_ind(now, before, equal_var=False, alternative="less").pvalue)


def _by_seed(release: Release) -> pd.Series:
    """Accuracy of the subset by seed; releases from before they held a row a training have the mean alone."""
    table = release.trainings
    if table is None:
        return pd.Series([release.manifest.results.accuracy.of(ARM).mean])
    return table[table["arm"] == ARM].groupby("seed")["accuracy"].mean()
