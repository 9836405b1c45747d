"""An upper bound on how many of a population are marked, from strata that were sampled at different rates.

T = sum over strata of N x / n estimates the number, where N is the size of the stratum, n the number drawn from it at
random without replacement, and x how many of those are marked. The bound is the largest number, however spread over the
strata, under which a T as low as the one seen has a probability above 1 - confidence (Buehler 1957; with one large
stratum it is the bound of Clopper and Pearson 1934). So it holds for every population and every size of the sample,
without approximation: the probabilities are hypergeometric.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

CELLS = 400  # values of the first stratum that are told apart; between them the bound errs on the safe side
EQUAL = 1e-9  # of T, for sums in another order
MOST = 2  # strata that were drawn in part


@dataclass(frozen=True)
class Stratum:
    """What was found in a stratum.

    Attributes:
        size: of it, N.
        drawn: n of them.
        marked: x of those.
    """

    size: int
    drawn: int
    marked: int

    @property
    def found(self) -> float:
        """The number that is marked in it, estimated without bias."""
        return self.size * self.marked / self.drawn

    @property
    def possible(self) -> int:
        """The most that can be marked in it, after what was seen."""
        return self.size - self.drawn + self.marked


def estimate(strata: Sequence[Stratum]) -> float:
    """The number that is marked, each one found weighed by the images that it stands for: without bias."""
    return sum(stratum.found for stratum in strata)


def upper(strata: Sequence[Stratum], confidence: float) -> int:
    """An upper bound of the number that is marked, below the true number in at most 1 - `confidence` of all samples.

    Args:
        strata: that make up the population; at most `MOST` of them drawn in part, each with one drawn at least.
        confidence: above 0, below 1.
    """
    known = sum(stratum.marked for stratum in strata if stratum.drawn == stratum.size)
    unknown = [stratum for stratum in strata if stratum.drawn < stratum.size]
    if len(unknown) > MOST:
        raise ValueError(f"at most {MOST} strata may be drawn in part")
    if not unknown:
        return known
    first, second = unknown if len(unknown) == MOST else (unknown[0], Stratum(1, 1, 0))
    return known + _two(first, second, 1 - confidence)


def _two(first: Stratum, second: Stratum, alpha: float) -> int:
    """The largest M1 + M2 that is not refuted: M1 on a grid, and M2 by halving at the lower end of each cell.

    The probability of so low a T falls in M1 and in M2, so what is not refuted within a cell is not at its lower end.
    """
    k = np.arange(second.drawn + 1)  # marked in the second sample, and the most in the first with which T is as low
    room = first.found + second.found + EQUAL - second.size * k / second.drawn
    most = np.minimum(np.floor(room * first.drawn / first.size).astype(int), first.drawn)
    k, most = k[most >= 0], most[most >= 0]
    alone = _largest(first, np.arange(most[0] + 1), np.ones((1, most[0] + 1)), alpha)[0]
    edges = np.unique(np.linspace(0, alone + 1, CELLS + 1).astype(int))
    given = np.cumsum(_chances(first, np.arange(first.drawn + 1), edges[:-1, None]), axis=1)[:, most]
    largest = _largest(second, k, given, alpha)
    return int((edges[1:] - 1 + largest)[largest >= 0].max())


def _largest(stratum: Stratum, k: np.ndarray, given: np.ndarray, alpha: float) -> np.ndarray:
    """(m,) the largest numbers marked of a stratum for which sum over k of P(k) `given` (m, k) is above `alpha`."""
    low, high = np.full(len(given), -1), np.full(len(given), stratum.possible)
    while (low < high).any():
        middle = (low + high + 1) // 2
        alive = (given * _chances(stratum, k, middle[:, None])).sum(1) > alpha
        low, high = np.where(alive, middle, low), np.where(alive, high, middle - 1)
    return low


def _chances(stratum: Stratum, k: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """The probabilities that k of those drawn are marked if so many of the stratum are."""
    n, rest = stratum.drawn, stratum.size - marked
    logs = _log_choose(marked, k) + _log_choose(rest, n - k) - _log_choose(np.array(stratum.size), np.array(n))
    return np.exp(logs)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The logarithm of the ways to choose k of n; minus infinity where there is none."""
    possible = (k >= 0) & (k <= n)
    ways = gammaln(n + 1.0) - gammaln(np.where(possible, k, 0) + 1.0) - gammaln(np.where(possible, n - k, 0) + 1.0)
    return np.where(possible, ways, -np.inf)
