"""Offer images under the class that they look like, where their label is suspected and that class is sure.

Two estimates say how likely that class is, both rather too low than too high, so that the larger counts:

- the posterior, given image and label, of the noise model by which labels are judged;
- how often labels agree. Of the surest images the predicted class is taken for right, so that their agreement is the
  share of right labels, r. Of images that are as sure as this one a share a agrees with its label, so that the
  predicted class of a / r of them is right; where the label says otherwise, it is wrong with (1 - a / r) / (1 - a).
  Where labels are right whenever the heads are sure, nothing is offered for it.

`docs/method.md` has measurements.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from winnow.features import Features
from winnow.selection.reasons import RELABELLED

TABLE = "certainty.parquet"  # what `score` leaves: id, certainty, posterior
PRECISION = 0.95  # how likely a new label has to be right
SUREST = 0.1  # of the images, whose predicted class is taken for right
GIVEN = "given_label"  # the column of the label before
MOST = 1 - 1e-4  # as sure as a new label gets


def chance(certainty: np.ndarray, agrees: np.ndarray) -> np.ndarray:
    """How likely the predicted class of an image is right whose label is another.

    Args:
        certainty: (N,) probability of the predicted class, by heads that did not see the label.
        agrees: (N,) bool, the label is the predicted class.

    Returns:
        (N,) between 0 and 1, the greater the surer.
    """
    from sklearn.isotonic import IsotonicRegression  # takes seconds to import

    fitted = IsotonicRegression(out_of_bounds="clip").fit(certainty, agrees.astype(np.float64))
    agreement = fitted.predict(certainty)
    right = agrees[certainty >= np.quantile(certainty, 1 - SUREST)].mean()
    wrong = 1 - np.minimum(agreement / max(right, 1e-9), 1)
    return np.asarray(1 - wrong / np.maximum(1 - agreement, 1e-9)).clip(0, 1)


def apply(
    table: pd.DataFrame, data: Features, certainty: np.ndarray, settled: np.ndarray
) -> tuple[pd.DataFrame, Features]:
    """Give images a new label: in the scores, which get the column `given_label`, and in the features.

    `alignment` becomes the log odds that the new label is right, and `sas` is counted for it; `sds` stays.

    Args:
        table: scores (`selection.score`).
        data: features, in the same order.
        certainty: (N, 2) probability of the predicted class, given the image, and given image and label
            (`selection.alignment`).
        settled: (N,) bool, what a person has decided about.
    """
    label, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    sure = np.maximum(chance(certainty[:, 0], label == predicted), certainty[:, 1])
    odds = table["alignment"].to_numpy()
    suspected = (odds < 0) & (label != predicted) & ~table["damaged"].to_numpy()
    new = suspected & ~settled & (sure >= PRECISION)
    given, label = label, np.where(new, predicted, label)
    sas, rows = table["sas"].to_numpy().copy(), np.flatnonzero(new)
    sas[rows] = (data.rows(rows) * data.anchors[label[rows]]).sum(1)
    known = sure.clip(0, MOST)
    odds = np.where(new, np.log(known.clip(1e-9) / (1 - known)), odds).astype(odds.dtype)
    names = np.array(data.classes, dtype=object)[label]
    changed = table.assign(label=label, class_name=names, alignment=odds, sas=sas)
    return changed.assign(**{GIVEN: given}), replace(data, labels=label)


def explain(table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Give what was kept under a new label the reason `relabelled`, with the class that it had as evidence."""
    kept = (table["label"] != table[GIVEN]) & table["selected"]
    before = np.array(classes, dtype=object)[table[GIVEN]]
    return table.assign(
        reason=table["reason"].mask(kept, RELABELLED),
        evidence=table["evidence"].mask(kept, pd.Series(before, table.index)),
    )


def summary(table: pd.DataFrame) -> dict[str, int]:
    """How many images were offered under a new label, and how many of them were kept."""
    new = table["label"] != table[GIVEN]
    return {"relabelled_offered": int(new.sum()), "relabelled": int((new & table["selected"]).sum())}
