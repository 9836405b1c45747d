"""Every sample that was dropped has one reason, with evidence that can be looked up, and the numbers add up."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from winnow import features
from winnow.features import Features
from winnow.selection import explain
from winnow.selection.reasons import REASONS

SEEDS = st.integers(0, 2**32)


def pool(n: int, classes: int, seed: int) -> tuple[pd.DataFrame, Features, np.ndarray]:
    """Random samples, random judgements and a random subset of at least one; and which labels are doubted."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    ids = np.array([f"{i:04d}" for i in rng.permutation(n)])
    names = [f"class {c}" for c in range(classes)]
    data = Features(rng.normal(0.3, 1, (n, 5)).astype(np.float32), np.ones((classes, 5)), labels, names, ids)
    predicted = np.where(rng.random(n) < 0.7, labels, rng.integers(0, classes, n))
    doubted = (predicted != labels) & (rng.random(n) < 0.8)
    selected = rng.random(n) < 0.5
    selected[rng.integers(n)] = True
    table = pd.DataFrame(
        {
            "id": ids,
            "label": labels,
            "alignment": rng.normal(size=n),
            "sds": rng.random(n),
            "predicted": predicted,
            "damaged": doubted & (rng.random(n) < 0.3),
            "selected": selected,
        }
    )
    return table, data, doubted


def explained(n: int, classes: int, seed: int, **changed: bool) -> tuple[pd.DataFrame, Features, np.ndarray]:
    table, data, doubted = pool(n, classes, seed)
    return explain.explain(table.assign(**changed), data, doubted, "cpu"), data, doubted


POOLS = {"n": st.integers(6, 60), "classes": st.integers(1, 6), "seed": SEEDS}


@given(**POOLS)
def test_what_was_dropped_has_one_reason_and_what_was_kept_has_none(n: int, classes: int, seed: int) -> None:
    table, _, _ = explained(n, classes, seed)
    dropped = ~table["selected"]
    assert table.loc[dropped, "reason"].isin(REASONS).all()
    assert (table.loc[~dropped, ["reason", "evidence"]] == "").all(axis=None)


@given(**POOLS)
def test_the_reason_is_the_first_that_holds(n: int, classes: int, seed: int) -> None:
    table, data, doubted = pool(n, classes, seed)
    rng = np.random.default_rng(seed)
    twin = np.where(rng.random(n) < 0.5, rng.integers(0, n, n), -1)
    found = explain.explain(table, data, doubted, "cpu", twin)
    represented = table.groupby("label")["selected"].transform("any")
    for row, suspected, of, has_like in zip(found.itertuples(), doubted, twin, represented, strict=True):
        reasons = {
            "": row.selected,
            "damaged": row.damaged,
            "suspected label": suspected,
            "near duplicate": of >= 0,
            "redundant": has_like,
            "over budget": True,
        }
        assert row.reason == next(reason for reason, holds in reasons.items() if holds)
        if row.reason == "near duplicate":
            assert row.evidence == data.ids[of]


@given(**POOLS)
def test_the_evidence_can_be_looked_up(n: int, classes: int, seed: int) -> None:
    table, data, _ = explained(n, classes, seed)
    unit = features.unit(data.image)
    assert table["similarity"].dtype == np.float32
    for i, row in enumerate(table.itertuples()):
        like = np.flatnonzero(table["selected"] & (table["label"] == row.label))
        if len(like):
            cosine = unit[like] @ unit[i]
            assert row.similarity == pytest.approx(cosine.max(), abs=1e-5)
        else:
            assert np.isnan(row.similarity)
        if row.reason == "redundant":
            assert row.evidence == data.ids[like[cosine.argmax()]]
        elif row.reason == "suspected label":
            assert row.evidence == data.classes[row.predicted]
        else:
            assert row.evidence == ""


@given(**POOLS)
def test_counts_add_up_to_the_pool(n: int, classes: int, seed: int) -> None:
    table, _, _ = explained(n, classes, seed)
    numbers = explain.summary(table)
    reasons = [numbers[reason] for reason in ("suspected_label", "damaged", "redundant", "over_budget")]
    assert numbers["pool"] == n
    assert numbers["kept"] == table["selected"].sum()
    assert numbers["kept"] + sum(reasons) == n
    kept = [int((table["selected"] & (table["label"] == c)).sum()) for c in range(classes)]
    assert (numbers["smallest_class_kept"], numbers["largest_class_kept"]) == (min(kept), max(kept))
    assert all(type(value) in (int, float) for value in numbers.values())  # as JSON knows them


def test_what_is_left_out_for_the_budget_alone_says_so() -> None:
    table, data, doubted = pool(40, 3, 0)
    table = explain.explain(table.assign(selected=table["label"] == 1), data, doubted, "cpu")
    others = table[(table["label"] != 1) & ~doubted]
    assert len(others) > 10
    assert set(others["reason"]) == {"over budget"}
    assert explain.summary(table)["over_budget"] == len(others)
    assert explain.summary(table)["smallest_class_kept"] == 0


def test_the_rest_of_a_class_of_doubles_is_redundant_to_the_one_kept() -> None:
    table, data, _ = pool(10, 1, 0)
    same = replace(data, image=np.repeat(data.image[:1], 10, 0))
    table = explain.explain(
        table.assign(damaged=False, selected=np.arange(10) == 7), same, np.zeros(10, dtype=bool), "cpu"
    )
    assert set(table["evidence"].drop(7)) == {data.ids[7]}
    assert table["similarity"].to_numpy() == pytest.approx(np.ones(10), abs=1e-6)


@examples(max_examples=20)
@given(**POOLS)
def test_all_is_covered_and_balanced_when_all_is_kept(n: int, classes: int, seed: int) -> None:
    table, _, _ = explained(n, classes, seed, selected=True)
    numbers = explain.summary(table)
    assert (table["reason"] == "").all()
    assert numbers["coverage"] == pytest.approx(1, abs=1e-6)
    assert numbers["balance"] == pytest.approx(1)
    assert numbers["alignment"] == numbers["alignment_pool"] == pytest.approx(table["alignment"].mean())
    assert numbers["diversity"] == numbers["diversity_pool"] == pytest.approx(table["sds"].mean())


def kept_of_two_classes(first: int, second: int) -> dict[str, float | int]:
    """The summary of what is kept of two classes of ten."""
    table, data, doubted = pool(20, 2, 0)
    labels = np.repeat([0, 1], 10)
    selected = np.concatenate([np.arange(10) < first, np.arange(10) < second])
    table = table.assign(label=labels, predicted=labels, selected=selected)
    return explain.summary(explain.explain(table, replace(data, labels=labels), doubted, "cpu"))


@pytest.mark.parametrize(("kept", "balance"), [((5, 5), 1), ((1, 1), 1), ((6, 4), 0.9), ((6, 2), 0.75), ((3, 0), 0.5)])
def test_balance_is_the_share_split_as_the_pool_is(kept: tuple[int, int], balance: float) -> None:
    assert kept_of_two_classes(*kept)["balance"] == pytest.approx(balance)


def test_coverage_is_of_what_looks_like_its_label_and_nothing_where_its_class_is_gone() -> None:
    table, data, doubted = pool(30, 3, 1)
    table = explain.explain(table.assign(selected=table["selected"] & (table["label"] != 2)), data, doubted, "cpu")
    like = table[table["predicted"] == table["label"]]
    unit = features.unit(data.image)
    nearest = [
        max((unit[i] @ unit[j] for j in np.flatnonzero(table["selected"] & (table["label"] == row.label))), default=0)
        for i, row in zip(like.index, like.itertuples(), strict=True)
    ]
    assert (like["label"] == 2).any()
    assert explain.summary(table)["coverage"] == pytest.approx(np.mean(nearest), abs=1e-5)


def test_alignment_and_diversity_are_of_what_is_kept() -> None:
    table, _, _ = explained(30, 3, 2)
    numbers = explain.summary(table)
    kept = table[table["selected"]]
    assert numbers["alignment"] == pytest.approx(kept["alignment"].mean())
    assert numbers["diversity"] == pytest.approx(kept["sds"].mean())
    assert numbers["alignment_pool"] == pytest.approx(table["alignment"].mean())
    assert numbers["alignment"] != pytest.approx(numbers["alignment_pool"])


def test_among_doubles_the_lower_id_is_the_evidence_in_any_order() -> None:
    table, data, _ = pool(6, 1, 0)
    selected = np.isin(data.ids, ["0001", "0002"])
    table = table.assign(selected=selected, damaged=False)
    for order in (np.arange(6), np.arange(6)[::-1]):
        doubles = replace(data, image=np.ones((6, 5), np.float32), ids=data.ids[order])
        rows = table.iloc[order].reset_index(drop=True)
        found = explain.explain(rows, doubles, np.zeros(6, bool), "cpu")
        assert set(found.loc[~found["selected"], "evidence"]) == {"0001"}


def test_coverage_is_a_number_where_no_sample_looks_like_its_label() -> None:
    table, _, _ = explained(12, 3, 1)
    assert explain.summary(table.assign(predicted=(table["label"] + 1) % 3))["coverage"] == 0
