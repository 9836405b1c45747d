"""Coverage: a subset in which every sample that is trusted has one like it (facility location within each class).

What a sample adds depends on what else is kept. For one class with n samples, a budget of k and trust t_i = P(label i
is right), `cover` works in two steps:

1. The pool is the sqrt(k * sum(t)) best aligned samples, never fewer than k. So alignment rejects by the factor
   sqrt(k / sum(t)) and coverage by the same factor, at every ratio: typical samples when few are kept, spread when
   many. What is doubted adds nothing to sum(t), and an outlier is not in the pool, so that it is not "diverse".
2. Facility location over the nearest-neighbour graph of the pool,
       f(S) = sum_i max_{j in S} v_ij,   v_ij = t_i (cos_ij - far_i) / (1 - far_i),
   far_i the cosine to the farthest neighbour of i in the graph. f is monotone and submodular, so the greedy set has at
   least 1 - 1/e of the greatest f (Nemhauser, Wolsey, Fisher 1978).

A row has REACH |pool| / k neighbours, so that the graph has at most 3 |pool|^2 / k = 3 sum(t) edges, or MIN_NEIGHBOURS
a row: memory is linear in n.
"""

import heapq
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

REACH = 3.0  # neighbours of a row, in units of the samples that a kept one stands for
MIN_NEIGHBOURS, MAX_NEIGHBOURS = 8, 256
BLOCK = 2**24  # similarities held at a time: 64 MiB in float32, whatever the size of a class


def cover(x: Tensor, trust: np.ndarray, k: int) -> np.ndarray:
    """Choose `k` samples of the pool of one class.

    Args:
        x: (n, d) unit image features of the pool, best aligned first.
        trust: (n,) probability that the label is right.
        k: samples to keep, at most n.

    Returns:
        (k,) rows, in the order of the choice.
    """
    if len(x) == k:
        return np.arange(k)
    columns, cosine = neighbours(x, count_neighbours(len(x), k))
    picked = facility_location(columns, values(cosine, trust), k)
    rest = np.setdiff1d(np.arange(len(x)), picked)[: k - len(picked)]  # all is covered: the best aligned
    return np.concatenate([picked, rest])


def pool_size(trust: np.ndarray, k: int) -> int:
    """Samples of a class that may be kept: the geometric mean of the budget `k` and the samples that are trusted."""
    return int(np.clip(np.ceil(np.sqrt(k * trust.sum(dtype=np.float64))), k, len(trust)))


def count_neighbours(n: int, k: int) -> int:
    """Neighbours of a row in a pool of `n` for a budget of `k`."""
    return min(n, int(np.clip(np.ceil(REACH * n / k), MIN_NEIGHBOURS, MAX_NEIGHBOURS)))


def neighbours(x: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` most similar rows of each row of `x` (n, d), itself among them: (n, count) rows, and cosines."""
    columns, cosine = np.empty((len(x), count), np.int32), np.empty((len(x), count), np.float32)
    for part in blocks(len(x), len(x)):
        best = (x[part] @ x.T).topk(count, dim=1)
        cosine[part], columns[part] = best.values.cpu().numpy(), best.indices.cpu().numpy()
    return columns, cosine


def values(cosine: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(n, m) v_ij of cosines (n, m), greatest first: `trust` (n,) at a cosine of 1, 0 at the farthest neighbour's."""
    far = cosine[:, -1:]
    return (trust[:, None] * (cosine - far) / np.maximum(1 - far, 1e-6)).clip(0).astype(np.float32)


def facility_location(columns: np.ndarray, values: np.ndarray, k: int) -> np.ndarray:
    """Greedy maximisation of f(S) = sum_i max_{j in S} v_ij over a sparse graph, with lazy evaluation.

    Gains are kept exact as rows get covered (only the neighbours of newly covered rows change) and the heap holds upper
    bounds, since gains never grow; so each pick is the greedy pick.

    Args:
        columns: (n, m) the facilities that row i sees, numbered below n.
        values: (n, m) what each is worth to it, not negative.
        k: facilities to open at most.

    Returns:
        The facilities, in the order of the choice; fewer than `k` where no other adds anything.
    """
    n, width = columns.shape
    flat = values.ravel()
    edge = np.argsort(columns.ravel(), kind="stable")
    start = np.searchsorted(columns.ravel()[edge], np.arange(n + 1))
    gain = np.bincount(columns.ravel(), flat, n)
    covered = np.zeros(n, np.float32)
    heap = [(-g, j) for j, g in enumerate(gain.tolist()) if g > 0]
    heapq.heapify(heap)
    picked: list[int] = []
    while heap and len(picked) < k:
        bound, j = heapq.heappop(heap)
        if gain[j] < -bound:
            if gain[j] > 1e-9:
                heapq.heappush(heap, (-float(gain[j]), j))
            continue
        picked.append(j)
        edges = edge[start[j] : start[j + 1]]
        better = flat[edges] > covered[edges // width]
        rows, worth = edges[better] // width, flat[edges[better], None]
        lost = np.maximum(np.minimum(values[rows], worth) - covered[rows, None], 0)
        np.subtract.at(gain, columns[rows].ravel(), lost.ravel().astype(np.float64))
        covered[rows] = worth[:, 0]
    return np.array(picked, np.int64)


def nearest(x: Tensor, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `x` (n, d) the most similar of the rows `kept` (k,): (n,) row numbers, and cosines."""
    row, cosine = np.empty(len(x), np.int64), np.empty(len(x), np.float32)
    facilities = x[torch.from_numpy(kept)]
    for part in blocks(len(x), len(kept)):
        best = (x[part] @ facilities.T).max(1)
        row[part], cosine[part] = kept[best.indices.cpu().numpy()], best.values.cpu().numpy()
    return row, cosine


def blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of `n` rows, such that a block by `width` fits in memory."""
    step = max(1, BLOCK // max(width, 1))
    return (slice(start, start + step) for start in range(0, n, step))
