"""On a GPU every stage repeats itself and agrees with the processor; skipped where there is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import winnow
from winnow import features
from winnow.compute import device
from winnow.encoders import embed
from winnow.encoders.embed import EmbedJob
from winnow.encoders.encoder import Checkpoint
from winnow.features import Features, unit
from winnow.images.dataset import Dataset
from winnow.selection import select as chain
from winnow.selection.methods import Method, Recipe
from winnow.training import classifier, networks
from winnow.training.classifier import Training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_it_is_found_and_counted() -> None:
    assert device.best() == "cuda"
    assert device.slots() == torch.cuda.device_count()


@pytest.mark.parametrize("method", ["winnow", "paper"])
def test_a_selection_repeats_itself_and_hardly_depends_on_the_device(planted: Features, method: Method) -> None:
    def select(where: str) -> pd.DataFrame:
        return chain.select(
            planted,
            Recipe(epochs=2),
            keep=0.3,
            method=method,
            solver="exact",
            balance="proportional",
            neighbours=0.1,
            near_duplicates=0.9,
            drop_near_duplicates=False,
            seed=0,
            device=where,
        )

    on_gpu, again, on_cpu = select("cuda"), select("cuda"), select("cpu")
    pd.testing.assert_frame_equal(on_gpu, again, check_exact=True)
    assert on_gpu["selected"].sum() == on_cpu["selected"].sum() == 90
    assert (on_gpu["selected"] == on_cpu["selected"]).mean() > 0.97
    np.testing.assert_allclose(on_gpu["sas"], on_cpu["sas"], atol=2e-3)


def test_features_repeat_themselves_and_agree_with_the_processor(images: Dataset, encoder: Path, workdir: Path) -> None:
    def run(where: str, out: str) -> Features:
        work = EmbedJob(images.folder, Checkpoint("local-dir", encoder), batch_size=4)
        embed.run_encoder(work, workdir / out, ["a {}"], images.folder / "classes.json", device=where)
        return features.load(workdir / out)

    first, again, on_cpu = run("cuda", "first"), run("cuda", "again"), run("cpu", "cpu")
    assert np.array_equal(first.image, again.image)
    assert (unit(first.image) * unit(on_cpu.image)).sum(1).min() > 0.99


@pytest.mark.parametrize("model", [networks.SMALL, "resnet18"])
def test_the_same_seed_trains_the_same_network(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (256, 32, 32, 3)).astype(np.uint8), rng.integers(0, 10, 256)
    training = Training(width=8, steps=30, batch_size=32, lr=0.01, flip=True, model=model)
    first, again = (classifier.fit(x, y, training, classes=10, seed=0, device="cuda").logits(x) for _ in range(2))
    assert torch.equal(first, again)
    monkeypatch.setattr(classifier, "GRAPHS_FROM", 1)
    recorded = classifier.fit(x, y, training, classes=10, seed=0, device="cuda").logits(x)
    assert torch.equal(first, recorded)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_tensors_on_a_gpu_are_taken(planted: Features, kind: torch.dtype) -> None:
    image = torch.from_numpy(planted.image).to("cuda", kind)
    labels, text = torch.from_numpy(planted.labels).cuda(), torch.from_numpy(planted.text).cuda()
    got = winnow.score(image, labels, text, device=torch.device("cuda"))
    pd.testing.assert_frame_equal(got, winnow.score(image.float().cpu().numpy(), planted.labels, planted.text))
