"""The gate: what may be published on its own, and why the rest may not."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from winnow.files.json_files import read_json, write_json
from winnow.releases import gate, manifest
from winnow.releases.gate import Limits
from winnow.releases.manifest import Release
from winnow.run.settings import Refresh

CLASSES = ["ant", "bee", "cat"]
LOOSE = Limits(accuracy_loss=1, confidence=1, least_kept=0, class_loss=1, faulty_rise=1, drift=1)
CHECKS = {
    "accuracy_loss": "accuracy",
    "least_kept": "images kept of each class",
    "class_loss": "most lost of a class",
    "faulty_rise": "share dropped as faulty",
    "drift": "drift of alignment",
}


@contextmanager
def pair(seed: int, **changed: object) -> Iterator[tuple[Release, Release]]:
    """Give a champion, and a candidate in which something is different."""
    with tempfile.TemporaryDirectory() as room:
        folders = Path(room) / "champion", Path(room) / "candidate"
        write(folders[0], seed)
        write(folders[1], seed, **changed)  # type: ignore[arg-type]
        yield manifest.load(folders[0]), manifest.load(folders[1])


def write(
    folder: Path,
    seed: int,
    shift: float = 0,
    faulty: int = 2,
    lost: tuple[int, float] = (0, 0),
    accuracies: tuple[float, ...] = (0.9, 0.91, 0.92),
) -> None:
    """A release of 60 images, 12 of each class kept but for the share `lost` of one, with random alignments."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    label = np.repeat(np.arange(3), 20)
    kept = np.tile(np.arange(20) < 12, 3)
    kept[(label == lost[0]) & (np.arange(60) % 20 >= round(12 * (1 - lost[1])))] = False
    names = np.array(CLASSES)[label]
    table = pd.DataFrame(
        {
            "id": [f"i{i:02d}" for i in range(60)],
            "label": label,
            "class_name": names,
            "alignment": rng.normal(size=60) + shift,
            "predicted": label,
            "selected": kept,
            "reason": np.where(kept, "", "redundant"),
            "evidence": "",
            "sha256": "0",
        }
    )
    table.loc[table.index[~kept][:faulty], "reason"] = "suspected label"
    table.to_parquet(folder / "scores.parquet", index=False)
    rows = [
        {"arm": arm, "seed": i, "accuracy": a}
        for i, subset in enumerate(accuracies)
        for arm, a in (("subset", subset), ("random", 0.5 - i / 100))
    ]
    pd.DataFrame(rows).to_csv(folder / "accuracy.csv", index=False)
    counts = {name: {"pool": 20, "kept": int(kept[label == c].sum())} for c, name in enumerate(CLASSES)}
    same = {"mean": 0.9, "std": 0.0}
    made = {
        "format": manifest.FORMAT,
        "name": "animals",
        "classes": CLASSES,
        "pool": {"samples": 60, "digest": "0" * 64},
        "subset": {"samples": int(kept.sum()), "digest": "0" * 64},
        "class_counts": counts,
        "quarantined": 0,
        "images_sha256": f"{seed:064x}",
        "encoder": {},
        "adapters_sha256": "0" * 64,
        "selection": {},
        "adaptation": {"measured_on": "held-out images", "zero_shot_accuracy": 0.5, "adapted_accuracy": 0.5},
        "parameters": {"prepare": {"source": "photos"}, "optimize": {"keep": 0.6}},
        "results": {"accuracy": {"subset": same, "random": same, "all": same}},
        "packages": {},
        "files": {},
    }
    write_json(folder / "manifest.json", made)


def refused(candidate: Release, champion: Release | None, limits: Limits) -> list[str]:
    return [check.name for check in gate.judge(candidate, champion, limits) if check.fault]


def test_defaults_are_those_of_the_parameters() -> None:
    assert asdict(Limits()) == Refresh().model_dump(exclude={"publish", "push"})


@settings(max_examples=40)
@given(st.integers(0, 2**20))
def test_a_release_holds_against_itself_within_any_limits(seed: int) -> None:
    with pair(seed) as (champion, same):
        strict = Limits(accuracy_loss=0, confidence=0.5, least_kept=12, class_loss=0, faulty_rise=0, drift=0)
        assert refused(same, champion, strict) == []
        assert refused(same, None, strict) == []


SHARE = st.floats(0, 1, allow_nan=False)
LOST = st.tuples(st.integers(0, 2), SHARE)
LIMITS = {field.name: SHARE for field in fields(Limits)} | {"least_kept": st.integers(0, 20)}


@settings(max_examples=40)
@given(
    st.builds(Limits, **LIMITS),
    st.sampled_from(list(CHECKS)),
    st.floats(-2, 2),
    LOST,
    st.integers(0, 24),
    st.lists(SHARE, min_size=1, max_size=4),
)
def test_a_looser_limit_refuses_nothing_more_and_touches_no_other_check(
    limits: Limits, name: str, shift: float, lost: tuple[int, float], faulty: int, accuracies: list[float]
) -> None:
    with pair(0, shift=shift, lost=lost, faulty=faulty, accuracies=tuple(accuracies)) as (champion, candidate):
        strict = set(refused(candidate, champion, limits))
        loose = set(refused(candidate, champion, replace(limits, **{name: getattr(LOOSE, name)})))
        assert loose <= strict
        assert strict - loose <= {CHECKS[name]}
        assert refused(candidate, champion, LOOSE) in ([], ["accuracy"])  # one seed: any loss may be real


@settings(max_examples=40)
@given(st.lists(st.floats(0.5, 0.9), min_size=2, max_size=5), st.floats(0, 0.1))
def test_what_is_no_worse_with_any_seed_is_never_refused(accuracies: list[float], better: float) -> None:
    with pair(0, accuracies=tuple(accuracies)) as (candidate, champion):
        rows = [{"arm": "subset", "seed": i, "accuracy": a + better} for i, a in enumerate(accuracies)]
        pd.DataFrame(rows).to_csv(candidate.folder / "accuracy.csv", index=False)
        assert refused(candidate, champion, Limits()) == []


@pytest.mark.parametrize(
    ("accuracies", "fault"),
    [
        ((0.90, 0.91, 0.92), None),
        ((0.93, 0.91, 0.94), None),
        ((0.91, 0.90, 0.91), None),  # a third of a point less, some seeds better, some worse
        ((0.895, 0.905, 0.914), "more than the noise"),  # half a point less, with each seed
        ((0.87, 0.88, 0.89), "more than 2.00%"),
        ((0.99, 0.99, 0.50), "more than 2.00%"),  # noise excuses no loss of that size
        ((0.909,), "more than the noise (one seed)"),
    ],
)
def test_a_loss_of_accuracy_is_told_from_noise(accuracies: tuple[float, ...], fault: str | None) -> None:
    with pair(0, accuracies=accuracies) as (champion, candidate):
        faults = gate.faults(gate.judge(candidate, champion, Limits()))
        assert [fault in said for said in faults] == [True] if fault else faults == []


def test_a_release_without_its_trainings_is_judged_by_its_mean() -> None:
    with pair(0) as (champion, candidate):
        for release in (champion, candidate):
            (release.folder / "accuracy.csv").unlink()
        checks = gate.judge(manifest.load(candidate.folder), manifest.load(champion.folder), Limits())
        (found,) = [(check.champion, check.candidate) for check in checks if check.name == "accuracy"]
        assert found == ("90.00%", "90.00%")


def test_seeds_are_paired_on_the_same_images_alone() -> None:
    with pair(0, accuracies=(0.895, 0.905, 0.914)) as (champion, candidate):
        assert refused(candidate, champion, Limits()) == ["accuracy"]
        other = replace(candidate, manifest=candidate.manifest.model_copy(update={"images_sha256": "other"}))
        assert refused(other, champion, Limits()) == []


def told(candidate: Release, champion: Release | None, limits: Limits) -> list[tuple[str | None, ...]]:
    """The checks as people read them."""
    return [tuple(asdict(check).values()) for check in gate.judge(candidate, champion, limits)]


def test_every_check_is_told_with_what_was_found_and_what_is_allowed() -> None:
    alone = [
        ("schema of scores.parquet", "", "0 misfits", "0", None),
        ("images kept of each class", "", "12 in the smallest class", "at least 1", None),
    ]
    with pair(0, accuracies=(0.895, 0.905, 0.914)) as (champion, candidate):
        assert told(candidate, None, Limits()) == alone
        fault = "accuracy 90.47% is 0.53% below the champion's, more than the noise (p = 0.00194)"
        assert told(candidate, champion, Limits()) == [
            *alone,
            ("accuracy", "91.00%", "90.47%", "less than 2.00% lost, within the noise", fault),
            ("most lost of a class", "", "0.0%", "at most 50%", None),
            ("share dropped as faulty", "3.3%", "3.3%", "at most 8.3%", None),
            ("drift of alignment", "", "0.000", "at most 0.1", None),
        ]


def test_every_check_that_refuses_says_why() -> None:
    with pair(0, shift=0.7, faulty=20, lost=(1, 0.75), accuracies=(0.87, 0.88, 0.89)) as (champion, candidate):
        faults = [
            "too little is kept of 'bee' (3 images); at least 5 are asked for",
            "accuracy 88.00% is 3.00% below the champion's, more than 2.00%",
            "more than 50% is lost of 'bee' (75% lost)",
            "33.3% of the images are unreadable, suspected or damaged, 3.3% in the champion",
            "the alignments have drifted from the champion's by 0.350 (Kolmogorov-Smirnov)",
        ]
        checks = gate.judge(candidate, champion, Limits(least_kept=5))
        assert gate.faults(checks) == faults
        assert [check.candidate for check in checks] == [
            "0 misfits",
            "3 in the smallest class",
            "88.00%",
            "75.0%",
            "33.3%",
            "0.350",
        ]


def test_what_reaches_a_limit_and_no_more_is_allowed() -> None:
    with pair(0, faulty=5, lost=(2, 0.5)) as (champion, candidate):
        exactly = Limits(least_kept=6, class_loss=0.5, faulty_rise=0.05, drift=0)
        assert refused(candidate, champion, exactly) == []
        assert refused(candidate, champion, replace(exactly, least_kept=7)) == ["images kept of each class"]
        assert refused(candidate, champion, replace(exactly, class_loss=0.49)) == ["most lost of a class"]
        assert refused(candidate, champion, replace(exactly, faulty_rise=0.049)) == ["share dropped as faulty"]


def test_of_many_classes_at_fault_three_are_named() -> None:
    lacking = {f"class {c}": c for c in range(5)}
    three = "'class 0' (0 images), 'class 1' (1 images), 'class 2' (2 images)"
    assert gate._some(lacking, "images") == f"{three} and 2 more"
    assert gate._some(dict(list(lacking.items())[:3]), "images") == three
    assert gate._some({"class 0": 0.123}, "lost", ".0%") == "'class 0' (12% lost)"


def chance(now: list[float], before: list[float], *, paired: bool) -> float:
    return gate._chance(pd.Series(now), pd.Series(before), paired=paired)


SEVERAL = st.lists(st.floats(0, 1).map(lambda a: round(a, 3)), min_size=2, max_size=6, unique=True)


@given(SEVERAL, SEVERAL)
def test_without_pairs_the_test_is_welchs_and_one_sided(now: list[float], before: list[float]) -> None:
    (a, b), (n, m) = (np.var(now, ddof=1), np.var(before, ddof=1)), (len(now), len(before))
    error = a / n + b / m
    freedom = error**2 / ((a / n) ** 2 / (n - 1) + (b / m) ** 2 / (m - 1))
    expected = stats.t.cdf((np.mean(now) - np.mean(before)) / np.sqrt(error), freedom)
    assert chance(now, before, paired=False) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6))
def test_with_pairs_the_test_is_of_the_differences_and_one_sided(pairs: list[tuple[float, float]]) -> None:
    lost = np.array([now - before for now, before in pairs])
    assume(lost.std() > 1e-3)
    expected = stats.t.cdf(lost.mean() / (lost.std(ddof=1) / np.sqrt(len(lost))), len(lost) - 1)
    now, before = ([pair[side] for pair in pairs] for side in (0, 1))
    assert chance(now, before, paired=True) == pytest.approx(expected)


@pytest.mark.parametrize("paired", [True, False])
def test_a_single_seed_has_no_noise_to_be_told_from(paired: bool) -> None:
    assert np.isnan(chance([0.8], [0.9], paired=paired))
    assert np.isnan(chance([0.8, 0.7], [0.9], paired=False))
    assert np.isfinite(chance([0.8, 0.7], [0.9, 0.91], paired=paired))


@pytest.mark.parametrize(
    ("accuracies", "fault"),
    [
        ((0.895, 0.9, 0.899, 0.899, 0.902), None),  # p = 0.0966 with unequal variances, 0.0248 with equal ones
        ((0.893, 0.896, 0.891), "more than the noise (p = 0.047)"),  # 0.0941 on both sides
    ],
)
def test_a_loss_on_other_images_is_told_by_welchs_test_of_one_side(
    accuracies: tuple[float, ...], fault: str | None
) -> None:
    with pair(0, accuracies=accuracies) as (champion, candidate):
        other = replace(candidate, manifest=candidate.manifest.model_copy(update={"images_sha256": "other"}))
        faults = gate.faults(gate.judge(other, champion, Limits()))
        assert [fault in said for said in faults] == [True] if fault else faults == []


def test_a_class_that_is_lost_is_named() -> None:
    with pair(0, lost=(1, 1.0)) as (champion, candidate):
        faults = "\n".join(gate.faults(gate.judge(candidate, champion, Limits())))
        assert "too little is kept of 'bee' (0 images)" in faults
        assert "more than 50% is lost of 'bee' (100% lost)" in faults
        del candidate.manifest.class_counts["bee"]
        assert "more than 50% is lost of 'bee' (100% lost)" in "\n".join(
            gate.faults(gate.judge(candidate, champion, Limits()))
        )


def test_labels_judged_otherwise_and_more_faults_are_refused() -> None:
    with pair(0, shift=0.7, faulty=20) as (champion, candidate):
        assert refused(candidate, champion, Limits()) == ["share dropped as faulty", "drift of alignment"]
        assert refused(candidate, None, Limits()) == [], "no champion, nothing to drift from"


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("alignment", None, "no column 'alignment'"),
        ("alignment", np.nan, ": an alignment is no number"),
        ("id", "i00", "the id 'i00' occurs twice; get the release again"),
        ("label", 3, "a label is none of the classes; get the release again"),
        ("label", -1, "a label is none of the classes; get the release again"),
        ("predicted", "ant", "predicted is str"),
    ],
)
def test_a_table_that_cannot_be_read_as_the_champions_is_refused(column: str, values: object, words: str) -> None:
    with pair(0) as (champion, candidate):
        table = candidate.scores.drop(columns=column) if values is None else candidate.scores.assign(**{column: values})
        table.to_parquet(candidate.folder / "scores.parquet", index=False)
        checks = gate.judge(manifest.load(candidate.folder), champion, LOOSE)
        assert [check.name for check in checks] == ["schema of scores.parquet"]
        fault = str(checks[0].fault)
        assert fault.startswith("scores.parquet: ")
        assert words in fault


@pytest.mark.parametrize(
    ("theirs", "ours", "fault"),
    [
        (1.5, 2.5, None),
        (1.5, None, "scores.parquet: the champion has a column extra, and this has none"),
        (1.5, "two", "scores.parquet: extra is str, the champion's float64"),
        (np.nan, "two", None),  # nothing was read from it
        ("two", np.nan, None),
        (None, 2.5, None),  # a new one
    ],
)
def test_other_columns_are_those_of_the_champion(theirs: object, ours: object, fault: str | None) -> None:
    with pair(0) as releases:
        for release, value in zip(releases, (theirs, ours), strict=True):
            if value is not None:
                release.scores.assign(extra=value).to_parquet(release.folder / "scores.parquet", index=False)
        champion, candidate = (manifest.load(release.folder) for release in releases)
        assert gate.faults(gate.judge(candidate, champion, Limits())) == ([fault] if fault else [])


def test_images_that_could_not_be_read_are_a_share_of_all_that_there_were() -> None:
    with pair(0) as (champion, candidate):
        more = replace(candidate, manifest=candidate.manifest.model_copy(update={"quarantined": 20}))
        (found,) = [check for check in gate.judge(more, champion, LOOSE) if check.name == CHECKS["faulty_rise"]]
        assert (found.champion, found.candidate) == ("3.3%", "27.5%")  # 2 of 60, and 22 of 80


def test_every_column_that_is_missing_is_told_at_once() -> None:
    with pair(0) as (champion, candidate):
        champion.scores.assign(one=1, two=2).to_parquet(champion.folder / "scores.parquet", index=False)
        faults = gate.faults(gate.judge(candidate, manifest.load(champion.folder), Limits()))
        parts = [f"the champion has a column {name}, and this has none" for name in ("one", "two")]
        assert faults == [f"scores.parquet: {'; '.join(parts)}"]


def test_a_real_release_holds_against_itself_and_its_damaged_copy_does_not(released: Path) -> None:
    champion = manifest.load(released)
    assert refused(champion, champion, Limits(least_kept=0)) == []
    assert "'green' (0 images)" in gate.faults(gate.judge(champion, None, Limits()))[0]
    copy = Path(shutil.copytree(released, released.with_name("copy")))
    counts = read_json(copy / "manifest.json")
    write_json(copy / "manifest.json", counts | {"quarantined": 40})
    assert refused(manifest.load(copy), champion, Limits(least_kept=0)) == ["share dropped as faulty"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "not known"),
        ({"wrong_kept_at_most": 0.02}, "at most 2.00%, and optimize.max_wrong is 1.00%"),
        ({"wrong_kept_at_most": 0.01}, None),
    ],
)
def test_more_wrong_labels_than_answers_may_leave_open_are_refused(
    released: Path, found: dict[str, float], said: str | None
) -> None:
    path = released / "manifest.json"
    stated = read_json(path)
    assert not any("wrong labels" in check.name for check in gate.judge(manifest.load(released), None, Limits()))
    stated["parameters"]["optimize"]["max_wrong"] = 0.01
    stated["selection"] |= found
    write_json(path, stated)
    (check,) = [one for one in gate.judge(manifest.load(released), None, Limits()) if "wrong labels" in one.name]
    assert (check.fault is None) == (said is None)
    assert (said or "") in (check.fault or "")
