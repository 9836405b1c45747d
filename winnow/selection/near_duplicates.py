"""Find near duplicates by the cosine of features, within a class and across classes (conflicting labels).

Every pair counts and none is missed. A bound avoids most of the work: a cosine is at most
the product of the parts along a few main directions, plus the product of the lengths of what is left (Cauchy-Schwarz).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor

from winnow import features
from winnow.compute import threads
from winnow.features import Features
from winnow.files.outputs import whole_file
from winnow.terminal import bars

BLOCK = 4096  # images compared with as many at a time: 64 MiB of cosines
DIRECTIONS = 64  # main directions of the bound
ROUNDING = 1e-4  # for rounding, so that the bound is one


def find(data: Features, alignment: np.ndarray, cosine: float, device: str) -> pd.DataFrame:
    """For each image the nearest of its class, and of the other classes, whose label is more likely right.

    Args:
        data: image features (N, d) with labels.
        alignment: (N,) how likely each label is right; among equals the lower id comes first.
        cosine: from which two images count as nearly the same.
        device: where to compute.

    Returns:
        A row a pair, in the order of the samples: id, of (the one more likely right), cosine, same_class. At most 2 N
        rows, the same whatever the order of the samples.
    """
    n = len(data.labels)
    order = np.lexsort((data.ids, -alignment))  # an image is compared with those that come before it
    basis = _main_directions(data, order, device=device)
    labels = torch.from_numpy(data.labels[order]).to(device)
    best = torch.full((2, n), -1.0, device=device)  # of another class, and of its own
    of = torch.zeros((2, n), dtype=torch.int64, device=device)
    starts = range(0, n, BLOCK)
    for j in track(starts, "near duplicates", disable=bars.hidden(), transient=True):
        later = _rows(data, order[j : j + BLOCK], device=device)
        later_bound = _bounding(later, basis)
        for i in range(0, j + 1, BLOCK):
            earlier = _rows(data, order[i : i + BLOCK], device=device) if i < j else later
            maybe = _candidates(_bounding(earlier, basis) @ later_bound.T, cosine - ROUNDING, diagonal=i == j)
            if len(maybe):
                _update(best, of, earlier, later, labels, i, j, maybe, cosine)
    return _table(data, order, best.cpu().numpy(), of.cpu().numpy(), cosine)


def nearest(data: Features, others: Features, cosine: float, device: str) -> tuple[np.ndarray, np.ndarray]:
    """For each of `others` (n samples) the sample of `data` that is most like it, of those that are nearly the same.

    Returns:
        (n,) its row, or -1 where none is, and (n,) float32 the cosine, or NaN. Among equals the lower id.
    """
    order = np.argsort(data.ids)
    basis = _main_directions(data, order, device=device)
    near = torch.full((len(others.labels),), -1, device=device)
    best = torch.full((len(near),), -1.0, device=device)
    starts = range(0, len(order), BLOCK)
    for i in track(starts, "held-out near duplicates", disable=bars.hidden(), transient=True):
        ours = _rows(data, order[i : i + BLOCK], device=device)
        bound = _bounding(ours, basis)
        for j in range(0, len(near), BLOCK):
            theirs = _rows(others, np.arange(j, min(j + BLOCK, len(near))), device=device)
            maybe = _candidates(bound @ _bounding(theirs, basis).T, cosine - ROUNDING, diagonal=False)
            if len(maybe):
                value, row = (ours @ theirs[maybe].T).max(0)
                better = (value >= cosine) & (value > best[j + maybe])
                best[j + maybe[better]], near[j + maybe[better]] = value[better], i + row[better]
    found, similarity = near.cpu().numpy(), best.cpu().numpy().clip(max=1)
    return np.where(found >= 0, order[found], -1), np.where(found >= 0, similarity, np.nan).astype(np.float32)


def _rows(data: Features, members: np.ndarray, *, device: str) -> Tensor:
    return torch.from_numpy(data.rows(members)).to(device)


def _main_directions(data: Features, order: np.ndarray, *, device: str) -> Tensor | None:
    """(d, DIRECTIONS) orthonormal: where the features of a seeded sample are longest; None where d is small."""
    n, d = data.image.shape
    if d <= 2 * DIRECTIONS:
        return None
    some = np.sort(np.random.default_rng(0).choice(n, size=min(n, 4 * BLOCK), replace=False))
    rows = _rows(data, order[some], device=device)
    return torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -DIRECTIONS:]


def _bounding(rows: Tensor, basis: Tensor | None) -> Tensor:
    """Vectors whose products are at least the cosines: the parts along `basis`, and the length of what is left."""
    if basis is None:
        return rows
    parts = rows @ basis
    left = (1 - parts.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
    return torch.cat([parts, left], 1)


def _candidates(bound: Tensor, cosine: float, *, diagonal: bool) -> Tensor:
    """Columns of `bound` (earlier x later) with a value of `cosine` or more; above the diagonal only, where asked."""
    if diagonal:
        bound = bound.triu(1)
    return (bound.amax(0) >= cosine).nonzero()[:, 0]


def _update(
    best: Tensor,
    of: Tensor,
    earlier: Tensor,
    later: Tensor,
    labels: Tensor,
    i: int,
    j: int,
    columns: Tensor,
    cosine: float,
) -> None:
    """Compare some columns exactly, and keep for each the nearest of each kind."""
    exact = earlier @ later[columns].T
    if i == j:
        exact[torch.arange(len(earlier), device=exact.device)[:, None] >= columns[None]] = -1
    same = labels[i : i + len(earlier), None] == labels[j + columns][None]
    for kind in (0, 1):
        value, row = exact.masked_fill(same != bool(kind), -1).max(0)
        better = (value >= cosine) & (value > best[kind, j + columns])
        best[kind, j + columns[better]] = value[better]
        of[kind, j + columns[better]] = i + row[better]


def _table(data: Features, order: np.ndarray, best: np.ndarray, of: np.ndarray, cosine: float) -> pd.DataFrame:
    place = np.argsort(order)
    row, kind = np.nonzero(cosine <= best.T[place])
    found = place[row]
    return pd.DataFrame(
        {
            "id": data.ids[row],
            "of": data.ids[order[of[kind, found]]],
            "cosine": best[kind, found].clip(max=1),
            "same_class": kind == 1,
        }
    )


def twins(pairs: pd.DataFrame, data: Features) -> np.ndarray:
    """(N,) row of the image of which each is a near duplicate, the nearest of either class; -1 where it is of none."""
    nearest_last = pairs.sort_values(["cosine", "same_class"])
    rows = pd.Index(data.ids)
    twin = np.full(len(rows), -1)
    twin[rows.get_indexer(nearest_last["id"])] = rows.get_indexer(nearest_last["of"])  # of several, the last stays
    return twin


@threads.fixed()
def run(embed: Path, scores: Path, out: Path, *, cosine: float, device: str) -> None:
    """Find the near duplicates of the feature folder `embed`; write them to the Parquet file `out`."""
    alignment = pd.read_parquet(scores, columns=["alignment"])["alignment"].to_numpy()
    table = find(features.load(embed), alignment, cosine, device)
    with whole_file(out) as partial:
        table.to_parquet(partial, index=False)
