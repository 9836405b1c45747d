"""Exact budgets: how many samples are kept in all, and in each class.

A ratio is a share of the whole pool, k = round(keep * N), and every share below adds up to k to the last sample.
"""

import numpy as np

from winnow.errors import ArgumentError
from winnow.selection.methods import Balance


def total(keep: float, n: int) -> int:
    """Number of samples that the ratio `keep` means for a pool of `n`.

    Raises:
        InputError: `keep` is outside (0, 1], or so small that it keeps nothing.
    """
    if not 0 < keep <= 1:
        raise ArgumentError("keep", f"is {keep}: it is the share of the pool to keep, above 0 and at most 1")
    k = round(keep * n)
    if k == 0:
        raise ArgumentError("keep", f"is {keep}: of {n} samples that keeps none; raise it to {1 / n:.2g} or more")
    return k


def shares(counts: np.ndarray, k: int, balance: Balance) -> np.ndarray:
    """Split a budget of `k` over classes of `counts` samples.

    `proportional` gives each class its share of the pool, `uniform` gives all classes the same as far as they have it;
    both by largest remainder, with at least one sample for every class that has any, where k allows. `none` is not a
    split by class and is refused.

    Args:
        counts: (C,) samples in each class.
        k: samples to keep, 0 <= k <= counts.sum().
        balance: the rule.

    Returns:
        (C,) int64, at most `counts` in each class, k in all.
    """
    if not 0 <= k <= counts.sum():
        raise ValueError(f"a budget of {k} does not fit a pool of {counts.sum()}")
    if balance == "proportional":
        weights = counts
    elif balance == "uniform":
        weights = (counts > 0).astype(np.int64)
    else:
        raise ValueError(f"balance {balance!r} has no shares by class")
    split = _largest_remainder([int(w) for w in weights], k, [int(n) for n in counts])
    return _floor_of_one(split, counts)


def shares_of_at_least(counts: np.ndarray, k: int, balance: Balance, least: np.ndarray) -> np.ndarray:
    """`shares` that give each class at least what it must have: a class below that gets it, the others share the rest.

    Args:
        counts: (C,) samples in each class.
        k: samples to keep, least.sum() <= k <= counts.sum().
        balance: the rule.
        least: (C,) at most `counts` in each class.

    Returns:
        (C,) int64, between `least` and `counts` in each class, k in all.
    """
    split, free = least.copy(), np.ones(len(counts), dtype=bool)
    while True:
        split[free] = shares(counts[free], k - int(least[~free].sum()), balance)
        short = split < least
        if not short.any():
            return split
        free &= ~short
        split[short] = least[short]


def _largest_remainder(weights: list[int], k: int, room: list[int]) -> np.ndarray:
    """Apportion `k` by `weights`, none above its `room`, in whole numbers throughout (no rounding error).

    A class whose share would exceed its room is filled, and the rest is apportioned anew among the others.
    """
    split = [0] * len(weights)
    open_ = [c for c, w in enumerate(weights) if w > 0]
    while open_:
        weight = sum(weights[c] for c in open_)
        full = [c for c in open_ if k * weights[c] > room[c] * weight]
        if not full:
            break
        for c in full:
            split[c] = room[c]
            k -= room[c]
        open_ = [c for c in open_ if c not in set(full)]
    for c in open_:
        split[c] = k * weights[c] // weight
    spare = k - sum(split[c] for c in open_)
    # Ties go to the larger class, then to the lower index, so that the result does not depend on anything else.
    by_remainder = sorted(open_, key=lambda c: (-(k * weights[c] % weight), -room[c], c))
    for c in [c for c in by_remainder if split[c] < room[c]][:spare]:
        split[c] += 1
    return np.array(split, dtype=np.int64)


def _floor_of_one(split: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Give every class that has samples at least one, where the budget allows.

    Each is taken from the class that is furthest above its exact share of the pool and has one to spare, so that no
    class moves further from its share than it must. Uniform shares never leave a class empty and pass unchanged.
    """
    k = int(split.sum())
    if k < np.count_nonzero(counts):
        return split
    split, surplus = split.copy(), split * counts.sum() - k * counts  # whole numbers: surplus * N
    for c in np.flatnonzero((split == 0) & (counts > 0)):
        giver = np.where(split > 1, surplus, surplus.min() - 1).argmax()
        split[giver] -= 1
        surplus[giver] -= counts.sum()
        split[c] = 1
    return split


def draw(labels: np.ndarray, split: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose at random `split[c]` samples of each class c (stratified random selection).

    Args:
        labels: (N,) class of each sample.
        split: (C,) samples to take from each class.
        rng: source of randomness.

    Returns:
        (N,) bool, True where chosen.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    for c, count in enumerate(split):
        members = np.flatnonzero(labels == c)
        chosen[rng.choice(members, size=count, replace=False)] = True
    return chosen
