"""Rivals do what their authors say, on noise that is easy to see."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from winnow.bench.labels import held_out, methods, rivals
from winnow.bench.labels.judgement import Judgements
from winnow.bench.labels.methods import METHODS
from winnow.bench.labels.noises import NOISES, Planted
from winnow.errors import InputError
from winnow.features import Features, unit


@pytest.fixture(scope="module")
def planted(true: Features) -> Planted:
    return NOISES["symmetric 20%"].plant(true, np.random.default_rng(0))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_easy_mistakes_and_gives_the_same_twice(planted: Planted, name: str) -> None:
    found, again = (METHODS[name].judge(planted.data, 0) for _ in range(2))
    for score, judgement in found.items():
        least = 0.55 if name == "paper" else 0.85  # that one needs more images
        assert roc_auc_score(~planted.wrong, judgement.score) > least, score
        assert (judgement.score == again[score].score).all()
        assert judgement.score.shape == planted.wrong.shape
        if judgement.suspected is not None:
            assert judgement.suspected.dtype == bool
            hits = (judgement.suspected & planted.wrong).sum()
            assert hits / planted.wrong.sum() > 0.6, score
            assert hits / judgement.suspected.sum() > 0.6, score
        if judgement.right is not None:
            assert 0 <= judgement.right.min() <= judgement.right.max() <= 1
            assert (np.diff(judgement.right[np.argsort(judgement.score)]) >= -1e-6).all(), "the same order"


def test_only_the_published_method_has_no_verdict(planted: Planted) -> None:
    found = {score: j for method in METHODS.values() for score, j in method.judge(planted.data, 0).items()}
    assert [score for score, judgement in found.items() if judgement.suspected is None] == ["paper"]


@pytest.mark.parametrize("judge", [rivals.zero_shot, rivals.zero_shot_confident])
def test_zero_shot_looks_at_names_alone(planted: Planted, judge: Callable[..., Judgements]) -> None:
    logits = 100 * unit(planted.data.image).astype(np.float64) @ unit(planted.data.text).T
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    own = p[np.arange(len(p)), planted.data.labels]
    found = judge(planted.data, 0)
    first = next(iter(found.values()))
    assert first.right == pytest.approx(own, abs=1e-4)
    if judge is rivals.zero_shot:
        assert first.score == pytest.approx(np.log(own), abs=1e-3), "without ties, however small"
        assert first.suspected is not None
        assert (first.suspected == (p.argmax(1) != planted.data.labels)).all()


def test_neighbours_vote() -> None:
    """Six images on a line, in two groups of three; with three neighbours counted by hand."""
    angle = np.array([0, 0.1, 0.2, 1.2, 1.3, 1.4])
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    near = rivals._neighbours(x, 2)
    assert [set(row) for row in near.tolist()] == [{1, 2}, {0, 2}, {0, 1}, {4, 5}, {3, 5}, {3, 4}]
    votes = rivals._votes(np.array([0, 0, 1, 1, 1, 0])[near], 2)
    assert votes.tolist() == [[1, 1], [1, 1], [2, 0], [1, 1], [1, 1], [0, 2]]


def test_a_vote_that_is_drawn_suspects_no_label(true: Features) -> None:
    """Five images: of the four others, two are of each class, or three of the other."""
    found = rivals.knn(replace(true, image=true.image[:5], labels=np.array([0, 0, 0, 1, 1])), 0)
    for name in ("knn_10", "knn_20"):
        assert found[name].score.tolist() == [0.5, 0.5, 0.5, 0.25, 0.25]
        assert found[name].suspected is not None
        assert found[name].suspected.tolist() == [False, False, False, True, True]


def test_simifeat_draws_by_its_seed(planted: Planted) -> None:
    one, other = (rivals.simifeat(planted.data, seed)["simifeat"].score for seed in (0, 1))
    assert (one != other).any()


def test_held_out_probabilities_are_of_others_labels_and_none_of_a_class_without_images(planted: Planted) -> None:
    labels = np.where(planted.data.labels == 7, 0, planted.data.labels)
    p = held_out.probabilities(replace(planted.data, labels=labels))
    assert p.sum(1) == pytest.approx(np.ones(len(p)))
    assert (p[:, 7] == 0).all()
    assert roc_auc_score(~planted.wrong, p[np.arange(len(p)), labels]) > 0.85
    found = rivals.cleanlab_1(replace(planted.data, labels=labels), 0)
    assert found["cleanlab_1 confidence"].score == pytest.approx(p[np.arange(len(p)), labels])
    margin = rivals._margin(p, labels)
    assert found["cleanlab_1 margin"].score == pytest.approx(margin)


def test_without_text_those_remain_that_need_none() -> None:
    assert {name for name, method in METHODS.items() if method.names} == {"zero_shot", "zero_shot_confident", "paper"}


def test_a_rival_that_there_is_not_is_refused_and_ours_comes_first() -> None:
    with pytest.raises(InputError, match="--rivals: there is no 'magic'; there are zero_shot, "):
        methods.chosen(["knn", "magic"])
    assert methods.chosen(["simifeat", "knn"]) == ["winnow", "knn", "simifeat"]


def test_cleanlab_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert methods.chosen(["knn", "zero_shot"]) == ["winnow", "zero_shot", "knn"]
    with pytest.raises(InputError, match=r"this needs the package cleanlab: pip install 'winnow-images\[bench\]'"):
        methods.chosen(methods.RIVALS)
