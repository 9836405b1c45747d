"""Rank samples by their value, and take the best of each group within its budget."""

import numpy as np

from winnow import budget
from winnow.features import Features
from winnow.selection.methods import Balance

FIRST, IN_TURN, LAST = 1, 0, -1  # what a person confirmed, the rest, and near duplicates


def in_turn(worth: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """What each is worth (N,), with what comes FIRST above all others and what comes LAST below them."""
    return np.select([turn == FIRST, turn == LAST], [np.inf, -np.inf], worth)


def split(data: Features, k: int, balance: Balance, turn: np.ndarray) -> np.ndarray:
    """(C,) samples to keep in each class."""
    least = np.bincount(data.labels[turn == FIRST], minlength=len(data.classes))
    return budget.shares_of_at_least(data.counts, k, balance, least)


def top(worth: np.ndarray, group: np.ndarray, split: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Mark the `split[g]` samples of greatest worth in each group g; ties go to the lower id, so row order is nothing.

    Args:
        worth: (N,) what each sample is worth.
        group: (N,) group of each sample.
        split: (G,) samples to take from each group.
        ids: (N,) unique ids.

    Returns:
        (N,) bool.
    """
    order = np.lexsort((ids, -worth, group))
    starts = np.searchsorted(group[order], np.arange(len(split)))
    rank = np.arange(len(order)) - starts[group[order]]
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order] = rank < split[group[order]]
    return chosen
