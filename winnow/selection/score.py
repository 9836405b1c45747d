"""Stage score: how well each sample agrees with its label, and how far it is from similar samples.

In:  data/embed (features), data/adapt (the result of adaptation).
Out: data/score/scores.parquet, one row per sample in the order of the pool.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from winnow import features
from winnow.compute import threads
from winnow.features import Features
from winnow.files import hashes, marks, outputs, scratch
from winnow.selection import adapters
from winnow.selection.adapters import Adapted, Adapters
from winnow.selection.alignment import Alignment
from winnow.terminal import bars

ADAPTERS = "adapters.safetensors"
SPAN = 2**16  # samples, about, that one task scores
PART = ("members", "sas", "sds", "predicted")
BLOCK = 2**24  # distances held at a time: 64 MiB in float32, whatever the size of a class


def score(data: Features, adapted: Adapted, *, neighbours: float, device: str) -> pd.DataFrame:
    """Score every sample, one class at a time.

    Args:
        data: image (N, d) and perhaps text (C, d) features with labels; without text, SAS is the cosine with the mean
            of the class's other images.
        adapted: the adapters A_I and A_T, through which SAS and SDS are counted; or what cross-fitted heads judge, with
            SAS and SDS on the features as they came.
        neighbours: nearest neighbours of SDS; below 1 a share of the class, else a number.
        device: where to compute.

    Returns:
        A row a sample, in input order: id, label, class_name, alignment, sas, sds, predicted, damaged. Higher
        `alignment` means more likely to be rightly labelled: the log odds of it, or SAS for the published method. Of
        several encoders also predicted_1, predicted_2 and so on, the class that each alone sees, and agree, how many of
        them see `predicted`. SAS and SDS are of the first encoder.
    """
    every = range(len(data.classes))
    some = track(every, description="score", disable=bars.hidden(), transient=True)
    return _table(data, adapted, [_of_classes(data, adapted, some, neighbours, device)])


def _of_classes(
    data: Features, adapted: Adapted, some: Iterable[int], neighbours: float, device: str
) -> dict[str, np.ndarray]:
    """Rows of the samples of some classes, and their sas, sds and predicted."""
    on_image: nn.Module = nn.Identity()
    on_text: nn.Module = nn.Identity()
    if isinstance(adapted, Adapters):
        on_image, on_text = adapted.image.to(device), nn.Sequential(adapted.text.to(device), Unit())
    text = on_text(torch.from_numpy(data.anchors).to(device))
    by_class, parts = data.by_class(), []
    for c in some:
        x = torch.from_numpy(data.rows(by_class[c])).to(device)
        z, own = on_image(x), None
        if data.text is None:
            own = on_text(F.normalize(torch.from_numpy(data.sums[c]).to(device) - x))
        sas, predicted = alignment(z, text, c, own)
        parts.append((by_class[c], sas, diversity(z, count_neighbours(neighbours, len(z))), predicted))
    return dict(zip(PART, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _table(data: Features, adapted: Adapted, parts: Iterable[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """The scores of all classes in input order; see `score`."""
    sas, sds = np.empty(len(data.labels), np.float32), np.empty(len(data.labels), np.float32)
    predicted = np.empty(len(data.labels), np.int64)
    for part in parts:
        members = part["members"]
        sas[members], sds[members], predicted[members] = part["sas"], part["sds"], part["predicted"]
    table = pd.DataFrame(
        {
            "id": data.ids,
            "label": data.labels,
            "class_name": np.array(data.classes, dtype=object)[data.labels],
            "alignment": sas,
            "sas": sas,
            "sds": sds,
            "predicted": predicted,
            "damaged": False,
        }
    )
    if isinstance(adapted, Adapters):
        return table
    table = table.assign(alignment=adapted.log_odds, predicted=adapted.predicted, damaged=adapted.damaged)
    if adapted.by_encoder is None:
        return table
    alone = {f"predicted_{v}": said for v, said in enumerate(adapted.by_encoder, start=1)}
    return table.assign(agree=(adapted.by_encoder == adapted.predicted).sum(0), **alone)


class Unit(nn.Module):
    """Scale rows to length one."""

    def forward(self, rows: Tensor) -> Tensor:
        """(n, d) to the same."""
        return F.normalize(rows)


def alignment(z: Tensor, text: Tensor, label: int, own: Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Semantic alignment score (paper, eq. 3): the cosine of each image and the prompt of its class.

    Args:
        z: (n, d) adapted image features of one class.
        text: (C, d) adapted text features of unit length.
        label: the class.
        own: (n, d) of unit length, what stands for the class instead, for each image: the class mean without it.

    Returns:
        (n,) SAS in [-1, 1], and (n,) the class whose prompt is nearest.
    """
    sas, predicted, size = [], [], max(1, BLOCK // len(text))
    for start in range(0, len(z), size):
        rows = F.normalize(z[start : start + size])
        cosine = rows @ text.T
        if own is not None:
            cosine[:, label] = (rows * own[start : start + size]).sum(1)
        sas.append(cosine[:, label])
        predicted.append(cosine.argmax(1))
    return torch.cat(sas).cpu().numpy(), torch.cat(predicted).cpu().numpy()


def diversity(z: Tensor, k: int) -> np.ndarray:
    """Sample diversity score (paper, eq. 4): mean Euclidean distance to the k nearest samples of the same class.

    Computed a block of rows at a time, so memory does not grow with the square of the class. A class of one sample has
    no neighbour and scores 0.

    Args:
        z: (n, d) adapted image features of one class, not normalised.
        k: neighbours, at most n - 1; the sample itself does not count.

    Returns:
        (n,) SDS, in the units of the adapted features.
    """
    if k == 0:
        return np.zeros(len(z), np.float32)
    z = z - z.mean(0)  # distances stay, and subtracting large norms loses fewer digits
    norm = z.square().sum(1)
    means = []
    for rows in torch.arange(len(z), device=z.device).split(max(1, BLOCK // len(z))):
        # What is the same for a whole row changes no order: |z_i|^2 is added to the few that are nearest.
        squared = torch.addmm(norm, z[rows], z.T, alpha=-2)
        squared[torch.arange(len(rows)), rows] = torch.inf
        near = _smallest(squared, k) + norm[rows, None]
        means.append(near.clamp_(min=0).sqrt_().mean(1))
    return torch.cat(means).cpu().numpy()


def _smallest(x: Tensor, k: int) -> Tensor:
    """The k smallest values of each row of `x` (m, n), in any order; `x` may be overwritten."""
    if x.device.type != "cpu":
        return x.topk(k, largest=False, sorted=False).values
    x.numpy().partition(k - 1, axis=1)  # several times as fast as topk on processors
    return x[:, :k]


def count_neighbours(neighbours: float, n: int) -> int:
    """Neighbours to look at in a class of `n`: a share of it below 1, else that number; one at least, n - 1 at most."""
    k = round(neighbours * n) if neighbours < 1 else int(neighbours)
    return min(max(k, 1), n - 1)


def run(embed: Path, adapted: Path, out: Path, *, neighbours: float, device: str) -> None:
    """Score the feature folder `embed` with what adaptation left, in this process; write scores.parquet to `out`."""
    with scratch.of_stage("score", key(embed, adapted, neighbours=neighbours)) as pieces:
        for span in spans(embed):
            classes(embed, adapted, span, pieces, neighbours=neighbours, device=device)
        gather(embed, adapted, pieces, out)


def key(embed: Path, adapted: Path, **how: Any) -> str:
    """Names the work: parts that were scored for other features or adapters are not mistaken for these."""
    inputs = [embed / "image.npy", embed / "text.npy", embed / "labels.npy", adapted / ADAPTERS]
    made = (hashes.file_sha256(path) if path.exists() else "" for path in inputs)  # there may be no text
    return hashes.sha256(*made, str(how))[:16]


def spans(embed: Path) -> list[tuple[int, int]]:
    """First and last class, plus one, of each part: neighbouring classes with about SPAN samples together."""
    part = _data(embed).counts.cumsum() // SPAN
    first = np.flatnonzero(np.diff(part, prepend=-1))
    return [(int(a), int(b)) for a, b in zip(first, [*first[1:], len(part)], strict=True)]


@threads.fixed()
def classes(embed: Path, adapted: Path, span: tuple[int, int], pieces: Path, *, neighbours: float, device: str) -> None:
    """Score the classes of a span into a file in `pieces`, and not again where it is there."""
    out = pieces / f"{span[0]:08d}.npz"
    if not marks.is_finished(out):
        found = _of_classes(_data(embed), adapters.load(adapted / ADAPTERS), range(*span), neighbours, device)
        with outputs.whole_file(out) as partial, partial.open("wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]
        marks.finish(out)


@threads.fixed()
def gather(embed: Path, adapted: Path, pieces: Path, out: Path) -> None:
    """Put the parts together and write scores.parquet to `out`, and how sure the heads are, for `selection.relabel`."""
    parts = (np.load(path) for path in sorted(pieces.glob("*.npz")))
    found = adapters.load(adapted / ADAPTERS)
    table = _table(_data(embed), found, parts)
    with outputs.whole_folder(out) as folder:
        table.to_parquet(folder / "scores.parquet", index=False)
        if isinstance(found, Alignment):
            certainty, posterior = found.certainty.T
            sure = pd.DataFrame({"id": table["id"], "certainty": certainty, "posterior": posterior})
            sure.to_parquet(folder / "certainty.parquet", index=False)


def _data(embed: Path) -> Features:
    """The features, read and checked once a process."""
    return _load(embed, (embed / "image.npy").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load(embed: Path, _: int) -> Features:
    return features.load(embed)
