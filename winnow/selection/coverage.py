"""Coverage: choose a subset in which every trusted sample has a similar one (facility location within each class).

What a sample adds depends on what else is kept. For one class with n samples, a budget of k and trust t_i = P(label i
is right), two steps:

1. The pool is the k^(3/4) (sum t)^(1/4) best aligned samples, never fewer than k: typical samples when few are kept,
   spread when many. Doubted labels add nothing to the sum. Outliers are not in the pool, so they do not count as
   diverse.
2. Facility location over the pool,
       f(S) = sum_i t_i max(0, max_{j in S} cos_ij).
   f is monotone and submodular, so the greedy set has at least 1 - 1/e of the greatest f (Nemhauser, Wolsey, Fisher
   1978).
"""

import numpy as np
import torch
from torch import Tensor

ALIGNED = 0.75  # weight of alignment against coverage in the size of the pool
BATCH = 32  # candidates that are looked at together
PART = 8192  # samples whose similarities are held at a time: 256 MiB in float32, whatever the size of a class
BLOCK = 2**24  # similarities to what is kept, held at a time


def pool_size(trust: np.ndarray, k: int) -> int:
    """Samples of a class that may be kept: a geometric mean of the budget `k` and of the samples that are trusted."""
    size = k**ALIGNED * trust.sum(dtype=np.float64) ** (1 - ALIGNED)
    return int(np.clip(np.ceil(size), k, len(trust)))


def choose(x: Tensor, trust: np.ndarray, k: int, given: int = 0) -> np.ndarray:
    """Facility location over a pool of any size: greedy as it is, or part by part if it has more than PART samples.

    A part is every m-th row with its share of the budget, and covers itself. What is kept elsewhere covers it no worse,
    so f of the whole is at least the sum over the parts, each within 1 - 1/e of its optimum. Parts of rows that come in
    the order of their alignment are alike, so little is lost (the first round of Mirzasoleiman et al. 2013).

    Args:
        x: (n, d) unit image features, the best aligned first.
        trust: (n,) what covering each is worth, not negative.
        k: samples to choose, at most n.
        given: so many of the first rows are chosen in any case, at most k.

    Returns:
        (k,) rows.
    """
    apart = -(-len(x) // PART)
    parts = [np.arange(start, len(x), apart) for start in range(apart)]
    chosen = []
    for rows in parts:
        share, few = (int(np.count_nonzero(rows < first)) for first in (k, given))  # in proportion to its size
        chosen.append(rows[facility_location(x[torch.from_numpy(rows)], trust[rows], share, few)])
    return np.concatenate(chosen)


def facility_location(x: Tensor, trust: np.ndarray, k: int, given: int = 0) -> np.ndarray:
    """Greedy maximisation of f(S) = sum_i t_i max(0, max_{j in S} x_i . x_j), with lazy evaluation.

    What a candidate adds never grows, so what it added in an earlier round is a bound. In each round the candidates of
    the greatest bounds are looked at again, until the greatest bound is of one that was: the greedy choice. All n x n
    similarities are held.

    Args:
        x: (n, d) unit image features.
        trust: (n,) what covering each is worth, not negative.
        k: samples to choose, at most n.
        given: so many of the first rows are chosen before any other, at most k.

    Returns:
        (k,) rows, in the order of the choice.
    """
    n, similarity = len(x), (x @ x.T).clamp_(min=0)
    worth = torch.from_numpy(trust).to(x)
    covered, bound = x.new_zeros(n), similarity @ worth
    seen, chosen = torch.zeros(n, dtype=torch.long), []
    for turn in range(k):
        best = torch.tensor([turn])
        while turn >= given and seen[best := bound.topk(min(BATCH, n)).indices.cpu()][0] < turn:
            stale = best[seen[best] < turn]
            bound[stale] = (similarity[stale] - covered).clamp_(min=0) @ worth
            seen[stale] = turn
        chosen.append(int(best[0]))
        covered = torch.maximum(covered, similarity[best[0]])
        bound[best[0]], seen[best[0]] = -torch.inf, k  # never looked at again
    return np.array(chosen, np.int64)


def nearest(x: Tensor, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `x` (n, d) the most similar of the rows `kept` (k,): (n,) row numbers, and cosines."""
    facilities = x[torch.from_numpy(kept)]
    best = [(part @ facilities.T).max(1) for part in x.split(max(1, BLOCK // len(kept)))]
    row, cosine = (torch.cat(parts).cpu().numpy() for parts in zip(*((b.indices, b.values) for b in best), strict=True))
    return kept[row], cosine
