"""How good a judgement of labels is, where it is known which of them are wrong."""

import numpy as np

from winnow.bench.labels.judgement import Judgement

KEPT = (0.3, 0.5, 0.7)  # shares of the images, the best by score, among which wrong labels are counted
BINS = 15  # of the calibration error
DIGITS = 5

Measures = dict[str, float | None]  # by name; None: it does not apply


def measure(found: Judgement, wrong: np.ndarray) -> Measures:
    """All measures of a judgement of N labels.

    auroc is for telling wrong labels from right by score. precision, recall and f1 are those of the verdict, and
    false_alarms is the share of right labels that it suspects. believed_wrong is the share of wrong labels by its
    probabilities, and calibration_error how far these are off. left_30 is the share of wrong labels among the best 30%.
    """
    order = np.argsort(-found.score, kind="stable")
    measured: Measures = {"wrong": float(wrong.mean()), "auroc": _auroc(found.score, wrong)}
    measured |= _verdict(found.suspected, wrong)
    measured |= _belief(found.right, wrong)
    measured |= {f"left_{keep:.0%}"[:-1]: float(wrong[order[: round(keep * len(order))]].mean()) for keep in KEPT}
    return {name: None if value is None else round(value, DIGITS) for name, value in measured.items()}


def mean(runs: list[Measures]) -> Measures:
    """The mean of each measure over runs that have it."""
    found: Measures = {}
    for name in runs[0]:
        values = [value for run in runs if (value := run[name]) is not None]
        found[name] = round(float(np.mean(values)), DIGITS) if values else None
    return found


def calibration_error(right: np.ndarray, wrong: np.ndarray) -> float:
    """Expected calibration error of probabilities that labels are right: |stated - true| in bins of equal width."""
    bins = np.minimum((right * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(bins, right - ~wrong, minlength=BINS)
    return float(np.abs(gap).sum() / len(right))


def _auroc(score: np.ndarray, wrong: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(~wrong, score)) if 0 < wrong.sum() < len(wrong) else None


def _verdict(suspected: np.ndarray | None, wrong: np.ndarray) -> Measures:
    """Precision where anything is suspected, recall and F1 where any label is wrong."""
    if suspected is None:
        return dict.fromkeys(("precision", "recall", "f1", "false_alarms"))
    hits, flagged, planted = int((suspected & wrong).sum()), int(suspected.sum()), int(wrong.sum())
    return {
        "precision": hits / flagged if flagged and planted else None,
        "recall": hits / planted if planted else None,
        "f1": 2 * hits / (flagged + planted) if planted else None,
        "false_alarms": (flagged - hits) / max(len(wrong) - planted, 1),
    }


def _belief(right: np.ndarray | None, wrong: np.ndarray) -> Measures:
    if right is None:
        return {"believed_wrong": None, "calibration_error": None}
    return {"believed_wrong": float(1 - right.mean()), "calibration_error": calibration_error(right, wrong)}
