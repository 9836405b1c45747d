"""Each kind of noise spoils the labels that it says, and tells which."""

from dataclasses import replace

import numpy as np
import pytest

from winnow.bench.labels import noises
from winnow.bench.labels.noises import NOISES, Planted
from winnow.features import Features, unit

ON_LABELS = [name for name in NOISES if not name.startswith(("two", "open", "tail"))]


def planted(data: Features, kind: str, seed: int = 0) -> Planted:
    return NOISES[kind].plant(data, np.random.default_rng(seed))


def nearest(data: Features, count: int) -> np.ndarray:
    similarity = data.anchors @ data.anchors.T
    return np.argsort(-similarity, axis=1)[:, 1 : count + 1]


@pytest.mark.parametrize("kind", NOISES)
def test_the_same_seed_plants_the_same_in_features_that_hold_together(true: Features, kind: str) -> None:
    before = true.labels.copy()
    one, again, other = planted(true, kind), planted(true, kind), planted(true, kind, seed=1)
    assert (one.data.labels == again.data.labels).all()
    assert (one.wrong == again.wrong).all()
    same = np.array_equal(one.data.labels, other.data.labels) and np.array_equal(one.data.ids, other.data.ids)
    assert same != NOISES[kind].drawn
    assert (true.labels == before).all()
    data = one.data
    assert len(data.image) == len(data.labels) == len(data.ids) == len(one.wrong)
    assert len(data.text) == len(data.classes) == data.labels.max() + 1
    assert data.labels.min() == 0
    order = np.searchsorted(true.ids, data.ids)
    assert (data.image == true.image[order]).all()
    names = np.array(data.classes)[data.labels]
    assert ((names != np.array(true.classes)[true.labels[order]]) == one.wrong).all()


@pytest.mark.parametrize("kind", [kind for kind in ON_LABELS if "%" in kind])
def test_the_share_is_exact(true: Features, kind: str) -> None:
    assert planted(true, kind).wrong.sum() == round(float(kind.split()[1].strip("%")) / 100 * len(true.labels))


def test_clean_labels_are_right(true: Features) -> None:
    assert not planted(true, "clean").wrong.any()


def test_symmetric_noise_reaches_every_class_from_every_other(true: Features) -> None:
    made = planted(true, "symmetric 60%")
    pairs = set(zip(true.labels[made.wrong], made.data.labels[made.wrong], strict=True))
    assert len(pairs) > 40


def test_near_noise_gives_one_of_three_nearest_names(true: Features) -> None:
    made = planted(true, "near 20%")
    some = nearest(true, 3)[true.labels[made.wrong]]
    assert (some == made.data.labels[made.wrong, None]).any(1).all()


def test_a_pair_is_one_other_class_for_each(true: Features) -> None:
    made = planted(true, "pair 20%")
    pairs = set(zip(true.labels[made.wrong], made.data.labels[made.wrong], strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def test_one_class_is_spoiled_by_its_nearest(true: Features) -> None:
    made = planted(true, "spoiled class")
    (one,), (other,) = np.unique(true.labels[made.wrong]), np.unique(made.data.labels[made.wrong])
    assert one < 4
    assert other == nearest(true, 1)[one]
    assert made.wrong.sum() == round(0.6 * true.counts[one])


def test_ambiguous_images_lie_between_their_class_and_the_one_that_they_are_given(true: Features) -> None:
    made = planted(true, "ambiguous 20%")
    rows, names = np.arange(len(true.labels)), unit(true.image) @ true.anchors.T
    lead = names[rows, true.labels] - names[rows, made.data.labels]
    own = names[rows, true.labels]
    names[rows, true.labels] = -np.inf
    assert np.median((own - names.max(1))[made.wrong]) < np.median((own - names.max(1))[~made.wrong])
    assert np.median(lead[made.wrong]) < np.median((own - np.sort(names, axis=1)[:, 1])[made.wrong])


def test_two_classes_are_all_of_two(true: Features) -> None:
    made = planted(true, "two classes")
    truth = true.labels[np.searchsorted(true.ids, made.data.ids)]
    assert len(made.data.classes) == 2
    assert len(truth) == sum(true.counts[c] for c in set(truth))
    assert made.wrong.sum() == round(0.2 * len(truth))


@pytest.mark.parametrize("kind", ["open random", "open near"])
def test_images_of_classes_outside_the_list_are_wrong_and_all_others_right(true: Features, kind: str) -> None:
    made = planted(true, kind)
    outside = {c for c, name in enumerate(true.classes) if name not in made.data.classes}
    assert len(outside) == 2
    assert (made.wrong == np.isin(true.labels, list(outside))).all()
    given = {c: set(made.data.labels[true.labels == c]) for c in outside}
    if kind == "open random":
        assert all(len(some) > 3 for some in given.values())
    for c in outside if kind == "open near" else ():
        similarity = made.data.anchors @ true.anchors[c]
        assert given[c] == {similarity.argmax()}


@pytest.mark.parametrize("kind", ["tail symmetric", "tail near"])
def test_a_long_tail_falls_off_a_hundredfold_and_a_fifth_is_wrong(true: Features, kind: str) -> None:
    labels, ids = np.repeat(np.arange(8), 450), np.arange(3600).astype(str)
    made = planted(replace(true, image=np.tile(true.image, (10, 1)), labels=labels, ids=ids), kind)
    truth = labels[made.data.ids.astype(int)]
    sizes = np.sort(np.bincount(truth))
    assert sizes.tolist() == [max(3, round(450 * 100 ** (-k / 7))) for k in range(7, -1, -1)]
    assert made.wrong.sum() == round(0.2 * len(truth))


@pytest.mark.parametrize("kind", ["symmetric", "near"])
def test_shuffled_text_says_nothing_of_the_classes_but_is_theirs(true: Features, kind: str) -> None:
    made, plain = planted(true, f"shuffled {kind}"), planted(true, f"{kind} 20%")
    assert (made.data.labels == plain.data.labels).all(), "near names are those of the true text"
    assert (made.data.text != true.text).any(1).sum() >= 2
    assert sorted(made.data.text.tolist()) == sorted(true.text.tolist())


def test_labels_of_a_file_are_taken_as_given(true: Features) -> None:
    given = np.roll(true.labels, 1)
    made = noises.from_file(given).plant(true, np.random.default_rng(0))
    assert (made.data.labels == given).all()
    assert (made.wrong == (given != true.labels)).all()


@pytest.mark.parametrize("kind", [name for name, noise in NOISES.items() if not noise.names])
def test_without_text_like_classes_are_those_of_like_images(true: Features, kind: str) -> None:
    without = replace(true, text=None)
    made = planted(without, kind)
    assert made.data.text is None
    assert made.wrong.any() == (kind != "clean")
    if kind == "near 20%":
        likely = nearest(without, 3)[true.labels[made.wrong]]
        assert (likely == made.data.labels[made.wrong, None]).any(1).all()
        assert (nearest(without, 1) == nearest(true, 1)).mean() > 0.7, "as by names"
