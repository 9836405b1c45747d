"""Class probabilities from cross-validated logistic regression on features, as cleanlab's users make them."""

import warnings

import numpy as np

from winnow.features import Features, unit

FOLDS = 5


def probabilities(data: Features, strength: float = 1.0) -> np.ndarray:
    """(N, C) probabilities of each image, from a logistic regression that its fold did not train; `strength` is its C.

    A class that no image is labelled with has none.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    model, found = LogisticRegression(max_iter=1000, C=strength), np.zeros((len(data.labels), len(data.classes)))
    with warnings.catch_warnings():  # a class may have fewer images than there are folds
        warnings.simplefilter("ignore")
        p = cross_val_predict(model, unit(data.image), data.labels, cv=FOLDS, method="predict_proba")
    found[:, np.unique(data.labels)] = p / p.sum(1, keepdims=True)
    return found
