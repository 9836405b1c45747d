"""Labels are judged well and with calibrated odds, in any order of rows, and zero-shot is left where nothing helps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from winnow import features
from winnow.features import Features
from winnow.selection import alignment, heads, noise
from winnow.selection.alignment import Alignment, Fitted, Heads, Mixture, align
from winnow.selection.heads import FoldedRows


def clouds(
    n: int, *, classes: int = 8, dim: int = 32, spread: float = 2.0, tie: float = 0.5, rate: float = 0.2, seed: int = 0
) -> tuple[Features, np.ndarray]:
    """Classes around means that the prompts tell little of (`tie`), a share `rate` of labels wrong; and the truth."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    text = rng.normal(size=(classes, dim))
    mean = tie * text + np.sqrt(1 - tie * tie) * rng.normal(size=(classes, dim))
    image = mean[truth] + spread * rng.normal(size=(n, dim)) + 0.5
    labels = np.where(rng.random(n) < rate, (truth + rng.integers(1, classes, n)) % classes, truth)
    ids = np.array([f"{i:05d}" for i in rng.permutation(n)])
    names = [f"class {c}" for c in range(classes)]
    return Features(image.astype(np.float32), text.astype(np.float32), labels, names, ids), truth


def cosine(data: Features) -> np.ndarray:
    """(N,) cosine of each image with the prompt of its label."""
    return (features.unit(data.image) * features.unit(data.text)[data.labels]).sum(1)


def same(one: Alignment, two: Alignment) -> bool:
    """Whether every number agrees to the last bit."""
    arrays = all(
        (getattr(one, name) == getattr(two, name)).all()
        for name in ("log_odds", "predicted", "damaged", "weight", "bias")
    )
    return arrays and one.choice == two.choice


def take(data: Features, rows: np.ndarray) -> Features:
    return replace(data, image=data.image[rows], labels=data.labels[rows], ids=data.ids[rows])


@pytest.fixture(scope="module")
def hard() -> tuple[Features, np.ndarray]:
    """Nearly the noise of CLIP on a hard data set: half of the images are nearest to the prompt of another class."""
    return clouds(800)


def test_without_text_class_means_tell_wrong_labels_from_right(hard: tuple[Features, np.ndarray]) -> None:
    data, truth = hard
    wrong = data.labels != truth
    judged = align(replace(data, text=None))
    assert roc_auc_score(~wrong, judged.log_odds) > 0.95
    assert ((judged.log_odds < 0) == wrong).mean() > 0.9
    assert judged.choice["noise_rate"] == pytest.approx(wrong.mean(), abs=0.05)
    assert judged.choice["share"].keys() == {"discriminant", "logistic"}
    assert "temperature" not in judged.choice
    mirrored = take(replace(data, text=None), np.arange(len(truth))[::-1])
    assert (align(mirrored).log_odds[::-1] == judged.log_odds).all()


def test_wrong_labels_are_told_from_right(planted: Features, wrong: np.ndarray) -> None:
    judged = align(planted)
    auroc = roc_auc_score(~wrong, judged.log_odds)
    assert auroc > 0.998
    assert auroc > roc_auc_score(~wrong, cosine(planted))
    assert ((judged.log_odds < 0) == wrong).mean() > 0.98
    assert judged.choice["noise_rate"] == pytest.approx(wrong.mean(), abs=0.03)


def test_what_the_other_labels_teach_beats_the_prompts_alone(hard: tuple[Features, np.ndarray]) -> None:
    data, truth = hard
    judged, right = align(data), data.labels == truth
    assert roc_auc_score(right, judged.log_odds) > 0.93
    assert roc_auc_score(right, judged.log_odds) > roc_auc_score(right, cosine(data)) + 0.1
    assert judged.choice["gain_nats"] > 100
    assert judged.choice["share"]["zero_shot"] < 0.5
    assert judged.choice["noise_rate"] == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("shuffle", [1, 2])
@pytest.mark.parametrize("doubled", [False, True])
def test_the_order_of_rows_does_not_matter(hard: tuple[Features, np.ndarray], shuffle: int, doubled: bool) -> None:
    data, _ = hard
    if doubled:  # the same images under other names and labels, too
        data = take(data, np.arange(800) % 500)
        data = replace(data, labels=np.roll(data.labels, 3), ids=hard[0].ids)
    order = np.random.default_rng(shuffle).permutation(len(data.ids))
    one, two = align(data), align(take(data, order))
    moved = replace(one, **{name: getattr(one, name)[order] for name in ("log_odds", "predicted", "damaged")})
    assert same(moved, two)
    assert not same(one, two)


def test_the_seed_draws_the_folds(hard: tuple[Features, np.ndarray]) -> None:
    data, _ = hard
    one, again, other = (align(data, seed) for seed in (3, 3, 4))
    assert same(one, again)
    assert not same(one, other)
    assert np.corrcoef(one.log_odds, other.log_odds)[0, 1] > 0.99


@pytest.mark.parametrize("seed", range(5))
def test_labels_that_are_pure_noise_teach_nothing(planted: Features, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, len(planted.labels))
    judged = align(replace(planted, labels=labels))
    assert judged.choice["share"] == {"zero_shot": 1, "discriminant": 0, "logistic": 0}
    assert judged.choice["gain_nats"] == 0
    x = features.unit(planted.image)
    assert (judged.predicted == ((x - x.mean(0)) @ features.unit(planted.text).T).argmax(1)).all()


def check_finite(judged: Alignment, n: int) -> None:
    assert len(judged.log_odds) == len(judged.predicted) == len(judged.damaged) == n
    assert (judged.log_odds.dtype, judged.predicted.dtype, judged.damaged.dtype) == (np.float32, np.int64, bool)
    assert all(np.isfinite(part).all() for part in (judged.log_odds, judged.weight, judged.bias))
    numbers = [value for key, value in judged.choice.items() if key != "share"]
    assert np.isfinite([*numbers, *judged.choice["share"].values()]).all()


@pytest.mark.parametrize(
    "sizes", [[1, 1, 1, 1, 1], [2, 1, 2, 1, 2], [100, 1, 2, 1, 2], [60, 50], [60, 1], [1, 1], [60], [1]]
)
def test_small_and_few_classes_are_judged_too(planted: Features, sizes: list[int]) -> None:
    rows = np.concatenate([np.flatnonzero(planted.labels == c)[:size] for c, size in enumerate(sizes)])
    data = take(replace(planted, text=planted.text[: len(sizes)], classes=planted.classes[: len(sizes)]), rows)
    judged = align(data)
    check_finite(judged, sum(sizes))
    assert judged.weight.shape == (len(sizes), 16)
    assert set(judged.predicted) <= set(range(len(sizes)))


def test_the_labels_of_a_single_class_are_trusted(planted: Features) -> None:
    data = take(replace(planted, text=planted.text[:1], classes=["ant"]), np.flatnonzero(planted.labels == 0))
    judged = align(data)
    assert (judged.log_odds > alignment.TRUSTED).all()
    assert not judged.damaged.any()


@pytest.mark.parametrize("distinct", [1, 10, 100])
def test_duplicates_are_judged_alike(planted: Features, distinct: int) -> None:
    data = replace(planted, image=planted.image[np.arange(300) % distinct])
    judged = align(data)
    check_finite(judged, 300)
    assert len(set(zip(np.arange(300) % distinct, judged.predicted, strict=True))) == distinct


def test_half_precision_on_disk_is_judged_as_in_memory(tmp_path: Path, hard: tuple[Features, np.ndarray]) -> None:
    features.save(tmp_path, hard[0])
    on_disk = features.load(tmp_path)
    assert isinstance(on_disk.image, np.memmap)
    assert on_disk.image.dtype == np.float16
    judged = align(on_disk)
    check_finite(judged, 800)
    assert same(judged, align(replace(on_disk, image=np.array(on_disk.image, np.float32))))
    assert np.corrcoef(judged.log_odds, align(hard[0]).log_odds)[0, 1] > 0.99


def test_many_images_are_judged_as_few_are(hard: tuple[Features, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    held = align(hard[0])
    monkeypatch.setattr(heads, "BLOCK", 77)
    in_blocks = align(hard[0])
    assert in_blocks.log_odds == pytest.approx(held.log_odds, abs=0.02)
    monkeypatch.setattr(heads, "TRAINED_ON", 400)
    monkeypatch.setattr(alignment, "FIT_ROWS", 400)
    sampled = align(hard[0])
    check_finite(sampled, 800)
    assert np.corrcoef(sampled.log_odds, held.log_odds)[0, 1] > 0.95
    assert not np.allclose(sampled.log_odds, held.log_odds, atol=0.1)


def test_log_odds_are_calibrated() -> None:
    data, truth = clouds(12_000, seed=1)
    odds, right = align(data).log_odds, data.labels == truth
    for low, high in ((-99, -3), (-3, -1), (-1, 1), (1, 3), (3, 99)):
        band = (odds > low) & (odds <= high)
        assert band.sum() > 400
        assert right[band].mean() == pytest.approx(expit(odds[band].mean()), abs=0.08)


def test_damage_is_found_among_what_is_doubted() -> None:
    data, truth = clouds(1000, spread=1.0, rate=0.1, seed=2)
    rng = np.random.default_rng(0)
    spoilt = rng.random(1000) < 0.05
    noisy = 5 * rng.normal(size=(spoilt.sum(), 32)) * np.linspace(2, 0.2, 32)
    image = data.image.copy()
    image[spoilt] = noisy
    judged = align(replace(data, image=image))
    assert (judged.log_odds[judged.damaged] < 0).all()
    assert judged.damaged.sum() >= 5
    assert spoilt[judged.damaged].mean() > 0.8
    mislabelled = (data.labels != truth) & ~spoilt
    assert judged.damaged[mislabelled].mean() < 0.05


def test_damage_is_what_is_doubted_and_farther_than_what_is_trusted() -> None:
    trusted = np.linspace(0, 1, 101)
    distance, odds = np.array([*trusted, trusted[99], 1, 5, 5, 5]), np.array([5.0] * 101 + [-1, -1, -1, 1, 5])
    assert np.flatnonzero(alignment.unlike_the_trusted(distance[:-1], odds[:-1])).tolist() == [102, 103]
    # Neither trusted, with odds of 9 and no more, nor doubted, with even odds.
    nearly = np.append(distance[:-1], [100] * 6), np.append(odds[:-1], [alignment.TRUSTED] * 5 + [0])
    assert np.flatnonzero(alignment.unlike_the_trusted(*nearly)).tolist() == [102, 103]
    assert not alignment.unlike_the_trusted(distance, np.minimum(odds, -1)).any()  # nothing is trusted


def test_the_heads_as_one_predict_as_they_do_together() -> None:
    data, truth = clouds(600, spread=0.4, rate=0)
    judged = align(data)
    assert judged.choice["share"]["zero_shot"] < 1  # the others count
    scores = features.unit(data.image) @ judged.weight.T + judged.bias
    assert (scores.argmax(1) == judged.predicted).all()
    assert (judged.predicted == truth).all()


def test_scores_of_a_block_are_the_sum_of_the_heads(hard: tuple[Features, np.ndarray]) -> None:
    data, _ = hard
    rows, text = FoldedRows(data, 0), torch.from_numpy(features.unit(data.text))
    scatter, how = heads.covariance(rows), noise.by_names(text, 2)
    means, base = heads.discriminant(rows, scatter, torch.ones(len(rows))), 20 * text.T
    steps = heads.logistic(rows, base, scatter, torch.ones(len(rows)))
    x, everything = rows[slice(None)], slice(None)
    parts = [100 * x @ text.T, means.scores(x, rows.labels, everything), heads.by_fold(x, rows.fold, steps, base)]
    weight = np.array([0.03, 0.5, 0.7])
    scores = sum(w * part for w, part in zip(weight, parts, strict=True))
    taught, mixture = Heads(text, base, means, steps), Mixture(weight, how, 0.0)
    found = Fitted(rows, taught, scatter, text, np.arange(9), torch.stack(parts)[:, :9], mixture, mixture)
    assert taught.parts(rows, np.arange(9)).numpy() == pytest.approx(found.parts.numpy(), abs=5e-3)
    odds, predicted, certainty = alignment.judge(rows, lambda part: found.scores(part, weight), how)
    assert odds == pytest.approx(noise.log_odds(scores, rows.labels, how).numpy(), abs=5e-3)
    assert (predicted == scores.argmax(1).numpy()).mean() > 0.998
    assert certainty[:, 0] == pytest.approx(torch.softmax(scores, 1).amax(1).numpy(), abs=5e-3)
    joint = torch.softmax(scores, 1) * how.factor[how.cell[rows.labels]]
    believed = (joint / joint.sum(1, keepdim=True))[torch.arange(len(joint)), scores.argmax(1)]
    assert certainty[:, 1] == pytest.approx(believed.numpy(), abs=2e-2)
    as_one, bias = found.as_one(weight)
    unit = torch.from_numpy(features.unit(data.image)[rows.order])
    not_left_out = [parts[0], x @ means.weight.T + means.bias, x @ (base + steps.mean(1))]
    whole = sum(w * part for w, part in zip(weight, not_left_out, strict=True))
    assert unit.numpy() @ as_one.T + bias == pytest.approx(whole.numpy(), abs=5e-3)


@pytest.mark.parametrize("named", [True, False])
def test_images_that_no_head_saw_are_judged_as_the_others(named: bool) -> None:
    data, truth = clouds(2000, spread=1.2, seed=3)
    data = data if named else replace(data, text=None)
    pool, rest = take(data, np.arange(1500)), take(data, np.arange(1500, 2000))
    image = rest.image.copy()
    image[:20] = 5 * np.random.default_rng(0).normal(size=(20, 32)) * np.linspace(2, 0.2, 32)
    judged = align(pool)
    odds, predicted, damaged = judged.judge(image, rest.labels)
    right = (rest.labels == truth[1500:])[20:]
    assert ((odds[20:] > 0) == right).mean() > 0.95
    assert (predicted[20:] == truth[1520:]).mean() > 0.95
    assert (odds[damaged] < 0).all()
    assert damaged[:20].sum() > 10
    assert damaged[20:].mean() < 0.02
    within, also, _ = judged.judge(pool.image, pool.labels)
    assert np.corrcoef(within, judged.log_odds)[0, 1] > 0.98
    assert (also == judged.predicted).mean() > 0.98
    assert len(judged.judge(image[:0], rest.labels[:0])[0]) == 0


@pytest.mark.parametrize(("pool_rate", "rate"), [(0, 0.2), (0.2, 0)])
def test_labels_elsewhere_may_be_wrong_more_often_or_less(pool_rate: float, rate: float) -> None:
    data, truth = clouds(2000, spread=1.5, rate=0, seed=4)
    rng = np.random.default_rng(0)
    share = np.where(np.arange(2000) < 1500, pool_rate, rate)
    labels = np.where(rng.random(2000) < share, (truth + rng.integers(1, 8, 2000)) % 8, truth)
    data = replace(data, labels=labels)
    odds, _, _ = align(take(data, np.arange(1500))).judge(data.image[1500:], labels[1500:])
    wrong = (labels != truth)[1500:]
    assert (odds[~wrong] < 0).mean() < 0.03
    assert not rate or (odds[wrong] < 0).mean() > 0.9


@pytest.mark.parametrize("nearest", [0, 3, 5])
def test_noise_is_the_same_from_its_rates(nearest: int) -> None:
    text = F.normalize(torch.from_numpy(np.random.default_rng(0).normal(size=(9, 16))).float())
    how = noise.by_names(text, nearest)
    how = replace(how, rate=how.rate[::-1].copy())
    again = noise.of_rates(text, how.rate)
    assert torch.equal(again.cell, how.cell)
    assert (again.size.tolist(), again.rate.tolist()) == (how.size.tolist(), how.rate.tolist())


def labelled(rate: list[float], nearest: int, n: int = 4000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores of a head that is right at 0.7 times its scores, labels at noise of these rates, and the class names."""
    rng = np.random.default_rng(0)
    text = F.normalize(torch.from_numpy(rng.normal(size=(10, 16))).float())
    how = noise.by_names(text, nearest)
    chance = (np.array(rate) / how.size)[how.cell.numpy()]
    scores = 3 * rng.normal(size=(n, 10))
    p = torch.softmax(torch.from_numpy(0.7 * scores), 1).numpy()
    truth = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    labels = (chance.cumsum(0)[:, truth] > rng.random(n)).argmax(0)
    return torch.from_numpy(scores).float()[None], torch.from_numpy(labels), text


def test_weight_and_noise_rate_are_found_again() -> None:
    parts, labels, text = labelled([0.75, 0.25], 0)
    other = torch.randn(parts.shape, generator=torch.Generator().manual_seed(0))
    fitted = alignment.fit(torch.cat([parts, other]), labels, noise.by_names(text, 0), np.array([0.2, 0.2]))
    assert fitted.weight[0] == pytest.approx(0.7, abs=0.07)
    assert fitted.weight[1] < 0.07  # a head that says nothing
    assert fitted.noise.rate == pytest.approx([0.75, 0.25], abs=0.03)
    p = torch.softmax(torch.tensordot(torch.from_numpy(fitted.weight).float(), torch.cat([parts, other]), 1), 1)
    found = noise.mass(p, fitted.noise.cell[labels], 2) @ fitted.noise.factor
    assert fitted.loss == pytest.approx(-float(found.log().sum()) - fitted.noise.log_prior, rel=1e-4)


def test_the_search_minimises_the_loss_that_mixtures_are_compared_by(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, labels, text = labelled([0.75, 0.25], 0)
    how = noise.by_names(text, 0)
    found: list[float] = []
    rounds: list[int] = []

    def minimize(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, **given: Any) -> Any:
        result = optimize.minimize(loss, start, **given)
        rounds.append(result.nfev)
        found.extend(loss(start)[0] for _ in range(60))  # its noise is fitted a little further each time
        return result

    monkeypatch.setattr(alignment, "minimize", minimize)
    both = torch.cat([parts, torch.randn(parts.shape, generator=torch.Generator().manual_seed(0))])
    weight = np.array([0.2, 0.2])
    alignment.fit(both, labels, how, weight)
    at = alignment.at(weight, both, labels, how)
    assert abs(at.noise.log_prior) > 1
    assert found[-1] == pytest.approx(at.loss / len(labels), rel=1e-7)
    assert rounds[0] < 25, "it stops where a step gains little"


def test_a_head_that_is_always_right_has_the_largest_weight() -> None:
    labels = torch.arange(1000) % 10
    parts = 0.1 * F.one_hot(labels, 10).float()[None]
    fitted = alignment.fit(parts, labels, noise.by_names(torch.eye(10), 0), np.ones(1))
    assert np.log(fitted.weight) == pytest.approx([4])


def test_names_that_are_near_have_rates_of_their_own_where_labels_say_so() -> None:
    parts, labels, text = labelled([0.75, 0.19, *[0.01] * 5], 5)
    chosen = alignment.choose_noise(parts, labels, text).noise
    assert chosen.rate[:3] == pytest.approx([0.75, 0.19, 0.01], abs=0.03)
    assert chosen.size.tolist() == [1, 1, 1, 1, 1, 1, 4]  # itself, the five nearest names, the others
    parts, labels, text = labelled([0.75, 0.25], 0)
    assert len(alignment.choose_noise(parts, labels, text).noise.size) == 2


def test_what_was_chosen_is_said_in_numbers() -> None:
    how = replace(noise.by_names(torch.eye(3), 0), rate=np.array([0.8765432, 0.1234568]))
    spread = (torch.tensor([-1.0, 0, 1]) * (1.5**0.5)).repeat(4, 1)  # a deviation of one over the classes
    uneven = spread * torch.tensor([0.5, 1.5, 0.25, 1.75])[:, None]  # of one on average
    parts = torch.stack([uneven, 2 * spread, 0 * spread])
    zero_shot = Mixture(np.array([0.3]), how, 130.00045)
    said = alignment.describe(Mixture(np.array([0.3, 0.3, 0.5]), how, 100.5), zero_shot, parts)
    share = {"zero_shot": 0.3333, "discriminant": 0.6667, "logistic": 0.0}  # 0.3 to 2 * 0.3
    assert said == {"temperature": 0.033333, "gain_nats": 29.5, "share": share, "noise_rate": 0.12346, "confusions": 0}


@pytest.mark.parametrize(("gain", "n", "earned"), [(13.81, 1000, False), (13.82, 1000, True), (0, 1, False)])
def test_parameters_are_earned_by_the_bayesian_information_criterion(gain: float, n: int, earned: bool) -> None:
    how = noise.by_names(torch.eye(3), 0)
    rich, plain = Mixture(np.ones(5), how, 100.0), Mixture(np.ones(1), how, 100 + gain)
    assert alignment.earns(rich, plain, 4, n) == earned  # 4 / 2 * log(1000) = 13.816


@pytest.mark.parametrize("seed", range(4))
def test_prompts_that_say_nothing_do_not_mislead(planted: Features, wrong: np.ndarray, seed: int) -> None:
    blind = np.random.default_rng(seed).normal(size=planted.text.shape).astype(np.float32)
    judged = alignment.align(replace(planted, text=blind))
    assert roc_auc_score(~wrong, judged.log_odds) > 0.99
