"""Near duplicates are exactly those that a comparison of all pairs finds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tasks import features
from tasks.features import Features
from tasks.selection import near_duplicates


def data(n: int, d: int, seed: int, *, spread: float = 0.2) -> Features:
    """Samples around n // 3 points, so that many are close."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(max(1, n // 3), d))
    image = points[rng.integers(0, len(points), n)] + spread * rng.normal(size=(n, d))
    labels = rng.integers(0, 3, n)
    return Features(
        image.astype(np.float32), points[:3], labels, ["a", "b", "c"], np.array([f"i{k}" for k in range(n)])
    )


def brute(data: Features, alignment: np.ndarray, cosine: float) -> pd.DataFrame:
    """The same by all pairs at once."""
    unit = features.unit(data.image).astype(np.float64)
    product, rows = unit @ unit.T, []
    for later in range(len(unit)):
        for same in (False, True):
            before = [
                i for i in range(len(unit)) if (-alignment[i], data.ids[i]) < (-alignment[later], data.ids[later])
            ]
            of = [i for i in before if (data.labels[i] == data.labels[later]) == same]
            if of and (value := product[later, of].max()) >= cosine:
                rows.append((f"i{later}", f"i{of[int(product[later, of].argmax())]}", value, same))
    return pd.DataFrame(rows, columns=["id", "of", "cosine", "same_class"]).astype(
        {"cosine": float, "same_class": bool}
    )


@examples(max_examples=40)
@given(n=st.integers(2, 70), d=st.sampled_from([4, 200]), seed=st.integers(0, 50), cosine=st.floats(0.5, 0.99))
def test_all_pairs_are_compared(n: int, d: int, seed: int, cosine: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "BLOCK", 16)
        made = data(n, d, seed)
        alignment = np.random.default_rng(seed).integers(0, 9, n).astype(np.float32)
        found, expected = near_duplicates.find(made, alignment, cosine, "cpu"), brute(made, alignment, cosine)
    edge = (expected["cosine"] - cosine).abs() < 1e-5  # where rounding decides
    if not edge.any():
        assert found["id"].tolist() == expected["id"].tolist()
        assert found["same_class"].tolist() == expected["same_class"].tolist()
        np.testing.assert_allclose(found["cosine"], expected["cosine"].clip(upper=1), atol=1e-5)
        assert (found["of"] == expected["of"]).mean() > 0.9 or len(found) < 10  # ties are broken by rounding


def test_a_copy_under_another_label_contradicts(tmp_path: Path) -> None:
    made = data(60, 200, 0, spread=1.0)
    made.image[50], made.labels[50], made.labels[7] = made.image[7], 1, 0
    (tmp_path / "embed").mkdir()
    features.save(tmp_path / "embed", made)
    scores = pd.DataFrame({"alignment": np.arange(60, 0, -1, dtype=np.float32)})
    scores.to_parquet(tmp_path / "scores.parquet")
    near_duplicates.run(
        tmp_path / "embed", tmp_path / "scores.parquet", tmp_path / "twins.parquet", cosine=0.99, device="cpu"
    )
    found = pd.read_parquet(tmp_path / "twins.parquet")
    assert found[["id", "of", "same_class"]].to_numpy().tolist() == [["i50", "i7", False]]
    assert found["cosine"][0] == pytest.approx(1, abs=1e-3)
