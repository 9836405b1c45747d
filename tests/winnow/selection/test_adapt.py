"""The published adaptation is InfoNCE and lowers the loss; either method tells wrong labels from right and repeats."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from winnow import features
from winnow.features import Features
from winnow.files.json_files import read_json
from winnow.selection import adapt, adapters, score
from winnow.selection.adapters import Adapted, Adapters
from winnow.selection.alignment import Alignment
from winnow.selection.methods import Method, Recipe

SHORT = Recipe(epochs=20, lr=3e-3, batch_size=64)


@examples(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 8), st.floats(0.01, 2), st.integers(0, 2**32))
def test_info_nce_is_cross_entropy_in_both_directions(batch: int, dim: int, temperature: float, seed: int) -> None:
    image, text = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, batch, dim)))
    cosine = torch.stack([F.cosine_similarity(row[None], text) for row in image]) / temperature
    rows = torch.stack([cosine[i].logsumexp(0) - cosine[i, i] for i in range(batch)]).mean()
    columns = torch.stack([cosine[:, i].logsumexp(0) - cosine[i, i] for i in range(batch)]).mean()
    assert adapt.info_nce(image, text, temperature).item() == pytest.approx(((rows + columns) / 2).item(), abs=1e-9)


def loss(data: Features, fitted: Adapters) -> float:
    with torch.no_grad():
        image = fitted.image(torch.from_numpy(features.unit(data.image)))
        text = fitted.text(torch.from_numpy(features.unit(data.text)))[data.labels]
        return adapt.info_nce(image, text, 1.0).item()


def separation(data: Features, fitted: Adapted, wrong: np.ndarray) -> float:
    table = score.score(data, fitted, neighbours=0.1, device="cpu")
    return float(roc_auc_score(~wrong, table["alignment"]))


def test_fitting_lowers_the_loss(planted: Features) -> None:
    start = Adapters(16, torch.Generator().manual_seed(0)).requires_grad_(False)
    assert loss(planted, adapt.fit(planted, SHORT, seed=0, device="cpu")) < loss(planted, start) - 0.1


def test_fitted_adapters_tell_wrong_labels_from_right(planted: Features, wrong: np.ndarray) -> None:
    start = Adapters(16, torch.Generator().manual_seed(0)).requires_grad_(False)
    fitted = adapt.fit(planted, SHORT, seed=0, device="cpu")
    assert separation(planted, fitted, wrong) > max(0.9, separation(planted, start, wrong))


def test_the_default_recipe_is_the_published_one() -> None:
    assert Recipe() == Recipe(epochs=30, lr=1e-4, batch_size=256, temperature=1.0)


def test_the_same_seed_gives_the_same_adapters(planted: Features) -> None:
    one, two, other = (adapt.fit(planted, Recipe(epochs=2), seed=seed, device="cpu").image.weight for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_length_of_features_does_not_matter(planted: Features) -> None:
    longer = Features(planted.image * 8, planted.text * 4, planted.labels, planted.classes, planted.ids)
    one, two = (adapt.fit(data, Recipe(epochs=2), seed=0, device="cpu").image.weight for data in (planted, longer))
    assert torch.allclose(one, two, atol=1e-5)


def test_features_themselves_are_left_alone(planted: Features) -> None:
    before = planted.image.copy(), planted.text.copy()
    fitted = adapt.fit(planted, Recipe(epochs=1), seed=0, device="cpu")
    assert (planted.image == before[0]).all()
    assert (planted.text == before[1]).all()
    assert not any(parameter.requires_grad for parameter in fitted.parameters())


def test_accuracy_is_the_share_whose_own_class_scores_greatest(monkeypatch: pytest.MonkeyPatch) -> None:
    image, labels = np.array([[2.0, 0.1], [0.1, 1], [1, 0.9], [0.2, 3]]), np.array([0, 1, 1, 1])
    for chunk in (1, 3, 100):
        monkeypatch.setattr(features, "CHUNK", chunk)
        assert adapt.accuracy(image, labels, lambda x: x) == 0.75
        assert adapt.accuracy(image, labels, lambda x: x - torch.tensor([0.2, 0])) == 1  # unit length: 0.74 and 0.67


def test_the_method_says_how_to_adapt(planted: Features, wrong: np.ndarray) -> None:
    published, own = (adapt.adapt(planted, method, SHORT, seed=0, device="cpu") for method in ("paper", "winnow"))
    assert isinstance(published, Adapters)
    assert torch.equal(published.image.weight, adapt.fit(planted, SHORT, seed=0, device="cpu").image.weight)
    assert isinstance(own, Alignment)
    assert separation(planted, own, wrong) > 0.998


@pytest.mark.parametrize("method", ["winnow", "paper"])
@pytest.mark.parametrize("held_out", [True, False])
def test_the_stage_reports_what_adaptation_changed(
    workdir: Path, planted: Features, held_out: bool, method: Method
) -> None:
    (workdir / "embed").mkdir()
    features.save(workdir / "embed", planted)
    if held_out:
        np.save(workdir / "embed/test.npy", planted.text[[0, 1, 2, 3]].astype(np.float16))
        np.save(workdir / "embed/test_labels.npy", np.array([0, 1, 2, 0]))
    for out in ("one", "two"):
        adapt.run(workdir / "embed", workdir / out, Recipe(epochs=1), method=method, seed=0, device="cpu")
    metrics = read_json(workdir / "one/metrics.json")
    assert metrics["measured_on"].startswith("held-out" if held_out else "the pool")
    assert (metrics["zero_shot_accuracy"] == 0.75) == held_out
    assert isinstance(adapters.load(workdir / "one/adapters.safetensors"), Adapters) == (method == "paper")
    for name in ("adapters.safetensors", "metrics.json"):
        assert (workdir / "one" / name).read_bytes() == (workdir / "two" / name).read_bytes()


@pytest.mark.parametrize("method", ["winnow", "paper"])
def test_without_text_the_stage_says_what_stands_for_the_classes(
    workdir: Path, planted: Features, method: Method
) -> None:
    features.save(workdir, replace(planted, text=None))
    assert not (workdir / "text.npy").exists()
    adapt.run(workdir, workdir / "out", SHORT, method=method, seed=0, device="cpu")
    metrics = read_json(workdir / "out/metrics.json")
    assert metrics["in_place_of_text"] == "class means"
    assert "zero_shot_accuracy" not in metrics
    assert metrics["adapted_accuracy"] > 0.8


def test_heads_that_were_chosen_are_reported_and_judge_what_was_held_out(workdir: Path, planted: Features) -> None:
    poor = replace(planted, text=planted.text + 2 * np.random.default_rng(0).normal(size=planted.text.shape))
    features.save(workdir, poor)
    np.save(workdir / "test.npy", planted.text.astype(np.float16))  # each class as its images lie
    np.save(workdir / "test_labels.npy", np.arange(5))
    adapt.run(workdir, workdir / "out", Recipe(), method="winnow", seed=0, device="cpu")
    metrics = read_json(workdir / "out/metrics.json")
    assert metrics["zero_shot_accuracy"] < metrics["adapted_accuracy"] == 1
    assert metrics["gain_nats"] > 20
    assert sum(metrics["share"].values()) == pytest.approx(1, abs=1e-3)
    assert set(metrics["share"]) == {"zero_shot", "discriminant", "logistic"}
    assert 0 < metrics["noise_rate"] < 0.3
    judged = adapt.adapt(features.load(workdir), "winnow", Recipe(), seed=0, device="cpu")
    assert isinstance(judged, Alignment)
    assert {key: metrics[key] for key in judged.choice} == judged.choice


def test_the_heads_as_one_are_measured_and_the_seed_draws_them(workdir: Path, planted: Features) -> None:
    poor = replace(planted, text=planted.text + 2 * np.random.default_rng(0).normal(size=planted.text.shape))
    features.save(workdir, poor)
    one, other = (adapt.adapt(features.load(workdir), "winnow", Recipe(), seed=seed, device="cpu") for seed in (0, 1))
    assert isinstance(one, Alignment)
    assert isinstance(other, Alignment)
    assert (one.log_odds != other.log_odds).any()
    anywhere = features.unit(np.random.default_rng(1).normal(size=(500, 16)))
    scores = anywhere @ one.weight.T + one.bias
    assert ((scores - one.bias).argmax(1) != scores.argmax(1)).mean() > 0.1
    np.save(workdir / "test.npy", anywhere)
    np.save(workdir / "test_labels.npy", scores.argmax(1))
    adapt.run(workdir, workdir / "out", Recipe(), method="winnow", seed=0, device="cpu")
    assert read_json(workdir / "out/metrics.json")["adapted_accuracy"] > 0.99
