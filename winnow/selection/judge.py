"""Judge held-out images by heads, or adapters, that were fitted to the images to choose from alone.

In:  data/embed (features), data/adapt. Out: data/score/held_out.parquet (`selection.held_out`).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from winnow import features
from winnow.compute import threads
from winnow.features import Features
from winnow.files.outputs import whole_file
from winnow.selection import adapters, near_duplicates
from winnow.selection.adapters import Adapted, Adapters


def judge(data: Features, held_out: Features, adapted: Adapted, cosine: float, device: str) -> pd.DataFrame:
    """Judge held-out images, and find those that are nearly the same as one to choose from.

    Args:
        data: features of the images to choose from.
        held_out: those of the held-out images, with the same classes.
        adapted: what was fitted to `data`.
        cosine: from which two images are nearly the same.
        device: where to compare images.

    Returns:
        The columns of data/score/held_out.parquet.
    """
    if isinstance(adapted, Adapters):
        odds, predicted = _published(held_out, data.anchors, adapted)
        damaged = np.zeros(len(odds), dtype=bool)
    else:
        odds, predicted, damaged = adapted.judge(held_out.joined, held_out.labels)
    near, similarity = near_duplicates.nearest(data, held_out, cosine, device)
    found = near >= 0
    return pd.DataFrame(
        {
            "id": held_out.ids,
            "label": held_out.labels,
            "class_name": np.array(held_out.classes, dtype=object)[held_out.labels],
            "alignment": odds,
            "predicted": predicted,
            "damaged": damaged,
            "of": np.where(found, data.ids[near], "").astype(object),
            "cosine": similarity,
            "same_class": found & (data.labels[near] == held_out.labels),
        }
    )


def _published(held_out: Features, anchors: np.ndarray, adapted: Adapters) -> tuple[np.ndarray, np.ndarray]:
    """SAS (n,) and the class whose prompt is nearest (n,), through adapters."""
    text = F.normalize(adapted.text(torch.from_numpy(anchors)))
    sas, predicted = np.empty(len(held_out.labels), np.float32), np.empty(len(held_out.labels), np.int64)
    for start in range(0, len(sas), features.CHUNK):
        part = slice(start, start + features.CHUNK)
        z = adapted.image(torch.from_numpy(features.unit(held_out.image[part])))
        scores = F.normalize(z) @ text.T
        sas[part] = scores[torch.arange(len(z)), torch.from_numpy(held_out.labels[part])]
        predicted[part] = scores.argmax(1)
    return sas, predicted


@threads.fixed()
def run(embed: Path, adapted: Path, out: Path, *, cosine: float, device: str) -> None:
    """Judge the held-out images of the feature folder `embed`; write the Parquet file `out`."""
    data = features.load(embed)
    found = judge(data, features.held_out(embed, data), adapters.load(adapted), cosine, device)
    with whole_file(out) as partial:
        found.to_parquet(partial, index=False)
