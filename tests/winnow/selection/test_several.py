"""Heads of several encoders are mixed where that earns its parameters, and each says what it sees alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from winnow import features
from winnow.features import Features
from winnow.files.json_files import read_json
from winnow.selection import adapt, adapters, select, several
from winnow.selection.alignment import Alignment, align
from winnow.selection.methods import Recipe

N, CLASSES = 800, 6


@pytest.fixture(scope="module")
def seen_twice() -> tuple[Features, np.ndarray]:
    """Two encoders whose errors have nothing in common, the second without text; and which labels are wrong."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.arange(N) % CLASSES)
    text, means = rng.normal(size=(2, CLASSES, 24)).astype(np.float32)
    image = (text[truth] + 1.7 * rng.normal(size=(N, 24))).astype(np.float32)
    other = (means[truth, :16] + 1.7 * rng.normal(size=(N, 16))).astype(np.float32)
    labels = np.where(rng.random(N) < 0.2, (truth + rng.integers(1, CLASSES, N)) % CLASSES, truth)
    ids = np.array([f"{i:04d}" for i in range(N)])
    names = [f"class {c}" for c in range(CLASSES)]
    return Features(image, text, labels, names, ids, ((other, None),)), labels != truth


@pytest.fixture(scope="module")
def judged(seen_twice: tuple[Features, np.ndarray]) -> Alignment:
    """What both say."""
    return several.align(seen_twice[0])


def test_two_are_better_than_the_better_one(seen_twice: tuple[Features, np.ndarray], judged: Alignment) -> None:
    data, wrong = seen_twice
    alone = [roc_auc_score(~wrong, align(data.view(v)).log_odds) for v in range(2)]
    assert 1 - roc_auc_score(~wrong, judged.log_odds) < 0.5 * (1 - max(alone))
    assert judged.choice["gain_nats"] > 20
    assert sum(judged.choice["share"].values()) == pytest.approx(1, abs=1e-3)
    assert min(judged.choice["share"].values()) > 0.1


def test_each_says_what_it_sees_alone(seen_twice: tuple[Features, np.ndarray], judged: Alignment) -> None:
    assert judged.by_encoder is not None
    assert (judged.by_encoder[0] == align(seen_twice[0].view(0)).predicted).all()
    assert (judged.by_encoder[1] == align(seen_twice[0].view(1)).predicted).mean() > 0.97  # other folds


def test_an_encoder_that_knows_nothing_leaves_the_other_alone(seen_twice: tuple[Features, np.ndarray]) -> None:
    data = seen_twice[0]
    noise = np.random.default_rng(1).normal(size=(N, 16)).astype(np.float32)
    found, alone = several.align(replace(data, others=((noise, None),))), align(data.view(0))
    assert (found.log_odds == alone.log_odds).all()
    assert found.choice["share"] == {"encoder_1": 1, "encoder_2": 0}
    assert found.choice["gain_nats"] == 0
    back = several.align(replace(data, image=noise, text=None, others=((data.image, data.text),)))
    assert back.choice["share"] == {"encoder_1": 0, "encoder_2": 1}


def test_the_order_of_the_rows_has_no_influence(seen_twice: tuple[Features, np.ndarray], judged: Alignment) -> None:
    data, rows = seen_twice[0], np.random.default_rng(2).permutation(N)
    others = tuple((image[rows], text) for image, text in data.others)
    mixed = replace(data, image=data.image[rows], labels=data.labels[rows], ids=data.ids[rows], others=others)
    assert (several.align(mixed).log_odds == judged.log_odds[rows]).all()


def test_the_heads_as_one_judge_images_that_are_not_among_them(
    seen_twice: tuple[Features, np.ndarray], judged: Alignment
) -> None:
    data, wrong = seen_twice
    scores = features.unit(data.joined[:]) @ judged.weight.T + judged.bias
    assert (scores.argmax(1) == judged.predicted).mean() > 0.9
    odds, predicted, _ = judged.judge(data.joined, data.labels)
    assert roc_auc_score(~wrong, odds) > 0.9
    assert (predicted == scores.argmax(1)).all()


def test_the_stages_read_what_each_encoder_left(
    workdir: Path, seen_twice: tuple[Features, np.ndarray], judged: Alignment
) -> None:
    data = seen_twice[0]
    features.save(workdir, data)
    assert features.load(workdir).others[0][0].shape == (N, 16)
    for place in (workdir, workdir / "encoder-2"):
        np.save(place / "test.npy", np.load(place / "image.npy")[:100])
    np.save(workdir / "test_labels.npy", data.labels[:100])
    adapt.run(workdir, workdir / "out", Recipe(), method="winnow", seed=0, device="cpu")
    assert read_json(workdir / "out/metrics.json")["adapted_accuracy"] > 0.7
    found = adapters.load(workdir / "out/adapters.safetensors")
    assert isinstance(found, Alignment)
    assert found.by_encoder is not None
    assert (found.by_encoder == judged.by_encoder).mean() > 0.98  # float16
    (workdir / "encoder-2/ids.txt").write_text("".join(f"{i}\n" for i in data.ids[::-1]))
    with pytest.raises(features.InputError, match=r"encoder-2 holds features of other samples .* in another order"):
        features.load(workdir)


def test_the_table_says_what_each_sees_and_how_many_agree(seen_twice: tuple[Features, np.ndarray]) -> None:
    table = select.score(seen_twice[0], Recipe(), method="winnow", neighbours=5, seed=0, device="cpu")
    assert (table["agree"] == sum((table[f"predicted_{v}"] == table["predicted"]).astype(int) for v in (1, 2))).all()
    assert set(table["agree"]) == {0, 1, 2}
    assert select.columns(table) == [*select.COLUMNS, "agree", "predicted_1", "predicted_2"]
