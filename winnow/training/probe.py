"""A linear probe: train a linear classifier on frozen features of the kept images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from winnow.training import measures
from winnow.training.measures import Measures

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

PROBE = "probe"  # among the names of networks
C = 31.6  # CLIP's probe has 0.316 for features of length 10 or so; ours have length 1
MOST_STEPS = 1000  # of L-BFGS, as in CLIP's


@dataclass(frozen=True)
class Probe:
    """A fitted probe of C classes, some of which it may never have seen."""

    model: LogisticRegression
    classes: int

    @property
    def passes(self) -> int:
        """Over the images, that L-BFGS took."""
        return int(self.model.n_iter_.max())

    def measure(self, image: np.ndarray, labels: np.ndarray) -> Measures:
        """Accuracy and more (`training.measures`), on (n, d) features of images of the (n,) classes `labels`."""
        probabilities = np.zeros((len(image), self.classes))
        probabilities[:, self.model.classes_] = self.model.predict_proba(np.asarray(image, np.float32))
        return measures.measure(probabilities, labels)


def fit(image: np.ndarray, labels: np.ndarray, classes: int) -> Probe:
    """Fit a logistic regression to (n, d) features of unit length and their (n,) classes, of at least two kinds.

    It has one optimum, so it draws nothing, and is trained until it is there: no budget of steps or epochs applies.
    Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, appendix A.3.
    """
    from sklearn.linear_model import LogisticRegression  # takes seconds to import, and networks do without

    model = LogisticRegression(C=C, max_iter=MOST_STEPS)
    return Probe(model.fit(np.asarray(image, np.float32), labels), classes)
