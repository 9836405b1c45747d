"""Which images a person is asked about: a random sample, denser where labels are in doubt, with known chances.

Strata, by what was kept and by alignment:

    kept, surest    the best aligned 70% of what was kept of each class
    kept, rest      the others that were kept
    dropped, 0-5    what was dropped, by the share of all images that are aligned worse: below 2, 5, 10, 20, 40%, above

Three fifths of the sample are kept images, of them two fifths of the rest: there the wrong labels are. The remainder
is spread evenly over the strata of the dropped, so that wherever the boundary between right and wrong lies, some of it
is near. Within a stratum every image has the same chance, drawn / size.

In the strata of what was kept, which are made class by class, images are drawn at random without replacement: for that
`checking.bounds` is exact. In the others, of which only the chances matter, they are spread over the classes, and over
alignment within each, by ordered pivotal sampling (Deville and Tillé 1998).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

SURE, REST, DROPPED = 0, 1, 2  # strata; what was dropped has the numbers from DROPPED on
SUREST = 0.7  # of what was kept of a class
EDGES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of the images by alignment, between the strata of what was dropped
OF_KEPT, OF_REST = 0.6, 0.4  # of the sample; of its kept images
STRATA = DROPPED + len(EDGES) + 1
SIZE = 200  # images, unless asked otherwise


@dataclass(frozen=True)
class Sample:
    """A sample of N images.

    Attributes:
        rows: (n,) of the images, in the order in which they are shown, which tells nothing.
        stratum: (N,) of each image, those that were not drawn too.
        size: (STRATA,) images of each stratum.
        drawn: (STRATA,) of them in the sample.
    """

    rows: np.ndarray
    stratum: np.ndarray
    size: np.ndarray
    drawn: np.ndarray

    @property
    def stands_for(self) -> np.ndarray:
        """(n,) the number of images that each of the sample stands for: 1 / its chance of being drawn."""
        return (self.size / np.maximum(self.drawn, 1))[self.stratum[self.rows]]


def strata(table: pd.DataFrame) -> np.ndarray:
    """(N,) stratum of each image; `table` has the columns id, label, alignment and selected, a row an image."""
    ids, labels = table["id"].to_numpy(dtype=str), table["label"].to_numpy()
    alignment, selected = table["alignment"].to_numpy(), table["selected"].to_numpy()
    worst_first = np.lexsort((ids, alignment))
    below = np.empty(len(table))
    below[worst_first] = np.arange(len(table)) / max(len(table), 1)
    place = rank_in_class(np.where(selected, alignment, -np.inf), labels, ids)
    kept = np.bincount(labels[selected], minlength=labels.max(initial=0) + 1)
    surest = place < np.ceil(SUREST * kept - 1e-9)[labels]
    dropped = DROPPED + np.searchsorted(EDGES, below, side="right")
    return np.where(selected, np.where(surest, SURE, REST), dropped)


def rank_in_class(worth: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(N,) how many of its class are worth more; among equals the lower id comes first."""
    order = np.lexsort((ids, -worth, labels))
    starts = np.searchsorted(labels[order], np.arange(labels.max(initial=0) + 1))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - starts[labels[order]]
    return rank


def draw(table: pd.DataFrame, size: int, seed: int) -> Sample:
    """Draw `size` images, or all if there are fewer; the order of the rows has no influence.

    Args:
        table: columns id, label, alignment and selected; a row an image. With a column stratum, as optimize leaves it
            where there are answers, that is used: what is selected depends on answers then.
        size: images to draw.
        seed: fixes them.
    """
    stratum = table["stratum"].to_numpy(dtype=np.int64) if "stratum" in table else strata(table)
    sizes = np.bincount(stratum, minlength=STRATA)
    drawn = allocation(sizes, size)
    along = np.lexsort((table["id"].to_numpy(dtype=str), table["alignment"].to_numpy(), table["label"].to_numpy()))
    found = [np.empty(0, dtype=np.int64)]
    for h, n in enumerate(drawn):
        members, rng = along[stratum[along] == h], np.random.default_rng([seed, h])
        found.append(members[pivotal(len(members), int(n), rng) if h >= DROPPED else rng.permutation(len(members))[:n]])
    rows = np.concatenate(found)
    return Sample(np.random.default_rng([seed, STRATA]).permutation(rows), stratum, sizes, drawn)


def allocation(sizes: np.ndarray, total: int) -> np.ndarray:
    """(STRATA,) images to draw of each stratum: what a stratum does not have goes to the others."""
    wish = np.empty(len(sizes))
    wish[[SURE, REST]] = OF_KEPT * (1 - OF_REST), OF_KEPT * OF_REST
    wish[DROPPED:] = (1 - OF_KEPT) / (len(sizes) - DROPPED)
    drawn = np.zeros(len(sizes), dtype=np.int64)
    total = min(total, int(sizes.sum()))
    while left := total - int(drawn.sum()):
        room = sizes - drawn
        share = np.where(room > 0, wish, 0)
        more = np.minimum(np.floor(left * share / share.sum()).astype(np.int64), room)
        if not more.any():
            more[np.argsort(-share, kind="stable")[: min(left, np.count_nonzero(room))]] = 1
        drawn += more
    return drawn


def pivotal(size: int, drawn: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of `drawn` of `size` images, each with the same chance, spread along their order.

    Neighbours meet, and one of them takes the other's chance as far as it fits.
    """
    if drawn == 0:
        return np.empty(0, dtype=np.int64)
    chance = rng.random(size)
    found, holder, holds = [], 0, drawn  # chances in parts of `size`, so that they are exact
    for row in range(1, size):
        both = holds + drawn
        if both < size:  # one of them takes the chances of both
            holder, holds = (holder if chance[row] * both < holds else row), both
        else:  # one of them is drawn, the other keeps the remainder
            first = chance[row] * (2 * size - both) < size - drawn if both < 2 * size else True
            found.append(holder if first else row)
            holder, holds = (row if first else holder), both - size
    if holds:
        found.append(holder)
    return np.array(found, dtype=np.int64)
