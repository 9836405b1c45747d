"""A network begins where a checkpoint ended, and one that does not fit is refused by the name of what differs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from winnow.errors import InputError
from winnow.training import checkpoints, classifier, networks
from winnow.training.classifier import Training

QUICK = Training(width=4, steps=12, batch_size=16, lr=0.02, flip=False)
RESNET = replace(QUICK, model="resnet18")


def begun(training: Training, path: Path, classes: int = 3) -> dict[str, torch.Tensor]:
    return classifier.begin(replace(training, checkpoint=path), side=16, classes=classes, seed=1).state_dict()


@pytest.mark.parametrize("training", [QUICK, RESNET])
@pytest.mark.parametrize(("nest", "prefix"), [(None, ""), ("state_dict", "module."), ("model", "_orig_mod.")])
def test_weights_come_from_the_file_however_they_are_nested(
    tmp_path: Path, training: Training, nest: str | None, prefix: str
) -> None:
    theirs = classifier.begin(training, side=16, classes=3, seed=0).state_dict()
    named: Any = {prefix + name: part for name, part in theirs.items()}
    torch.save({nest: named, "epoch": 3} if nest else named, tmp_path / "weights.pt")
    save_file(theirs, tmp_path / "weights.safetensors")
    for name in ("weights.pt", "weights.safetensors"):
        ours = begun(training, tmp_path / name)
        assert all(torch.equal(ours[key], part) for key, part in theirs.items())


@pytest.mark.parametrize("training", [QUICK, RESNET])
def test_a_last_layer_for_other_classes_is_drawn_anew(tmp_path: Path, training: Training) -> None:
    theirs = classifier.begin(training, side=16, classes=5, seed=0).state_dict()
    torch.save(theirs, tmp_path / "weights.pt")
    ours = begun(training, tmp_path / "weights.pt")
    fresh = classifier.begin(training, side=16, classes=3, seed=1).state_dict()
    head = [name for name in theirs if theirs[name].shape != ours[name].shape]
    assert head
    assert all(torch.equal(ours[name], (fresh if name in head else theirs)[name]) for name in ours)


def test_training_goes_on_from_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = (rng.integers(0, 60, (64, 16, 16, 3)) + 120 * labels[:, None, None, None]).astype(np.uint8)
    first = classifier.fit(images, labels, replace(QUICK, steps=60), classes=2, seed=0, device="cpu")
    torch.save(first.model.state_dict(), tmp_path / "weights.pt")
    still = replace(QUICK, steps=10, lr=1e-9, checkpoint=tmp_path / "weights.pt")
    again = classifier.fit(images, labels, still, classes=2, seed=5, device="cpu")
    assert first.accuracy(images, labels) == again.accuracy(images, labels) == 1
    weights = [model.model.state_dict()["body.0.weight"] for model in (first, again)]
    assert torch.equal(*weights)


def test_the_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    torch.save(networks.build("resnet34", side=16, classes=3, width=4).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(
        InputError, match=r"evaluate.checkpoint: .*layer1.2.conv1.weight is 64x64x3x3 there and missing"
    ):
        begun(RESNET, tmp_path / "weights.pt")
    torch.save(classifier.begin(replace(QUICK, width=8), side=16, classes=3, seed=0).state_dict(), tmp_path / "wide.pt")
    with pytest.raises(InputError, match=r"body.0.weight is 8x3x4x4 there and 4x3x4x4 here"):
        begun(QUICK, tmp_path / "wide.pt")


def test_what_holds_no_weights_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"weight": Evil()}, tmp_path / "evil.pt")
    for name in ("text.safetensors", "list.pt", "evil.pt", "nothing.pt"):
        with pytest.raises(InputError, match=f"evaluate.checkpoint: .*{name} (holds no weights|does not exist)"):
            checkpoints.load(nn.Linear(1, 1), tmp_path / name)
    assert not (tmp_path / "ran").exists()
