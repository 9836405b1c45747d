"""Features come from an encoder or from a folder, one row for each image and class, or the folder is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from winnow import features
from winnow.encoders import embed
from winnow.encoders.embed import EmbedJob
from winnow.encoders.encoder import Checkpoint
from winnow.errors import InputError
from winnow.features import Features
from winnow.files.json_files import read_json
from winnow.images.dataset import Dataset

PROMPTS = ["a photo of a {}.", "the colour {}"]


@pytest.fixture
def have(images: Dataset, tmp_path: Path) -> Callable[..., Path]:
    """Write features of the images that `rows` picks (all without it), as someone may have made them before."""
    rng = np.random.default_rng(0)
    every = rng.normal(size=(len(images.index), 8)).astype(np.float32)

    def write(rows: object = slice(None), *, ids: bool = True, scale: float = 1) -> Path:
        index, folder = images.index.iloc[rows], tmp_path / "have"
        folder.mkdir()
        labels, names = index["label"].to_numpy(), index["id"].to_numpy()
        data = Features(every[rows] * scale, np.eye(3, 8), labels, images.classes, names)
        features.save(folder, data)
        np.save(folder / "image.npy", data.image)
        if not ids:
            (folder / "ids.txt").unlink()
        return folder

    return write


def run(images: Dataset, encoder: Path, out: Path, prompts: list[str] = PROMPTS, batch_size: int = 4) -> Path:
    work = EmbedJob(images.folder, Checkpoint("local-dir", encoder), batch_size)
    embed.run_encoder(work, out, prompts, images.folder / "classes.json", device="cpu")
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_encoder_gives_a_row_an_image_and_a_class(images: Dataset, encoder: Path, workdir: Path) -> None:
    data = features.load(run(images, encoder, workdir / "out"))
    pool = images.split("train")
    assert data.ids.tolist() == pool["id"].tolist()
    assert data.labels.tolist() == pool["label"].tolist()
    assert (data.image.shape, data.text.shape, data.image.dtype, data.text.dtype) == ((24, 64), (3, 64), "f2", "f2")
    assert np.load(workdir / "out/test.npy").shape == (6, 64)
    held_out, test = features.held_out(workdir / "out", data), images.split("test")
    assert (held_out.ids.tolist(), held_out.labels.tolist()) == (test["id"].tolist(), test["label"].tolist())
    assert (held_out.image == np.load(workdir / "out/test.npy")).all()
    assert np.load(workdir / "out/test_labels.npy").tolist() == images.split("test")["label"].tolist()
    assert read_json(workdir / "out/encoder.json")["prompts"] == PROMPTS


def test_features_are_what_open_clip_says(images: Dataset, encoder: Path, workdir: Path, image_folder: Path) -> None:
    data = features.load(run(images, encoder, workdir / "out"))
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{encoder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{encoder}")
    with torch.no_grad():
        photo = model.eval().encode_image(preprocess(Image.open(image_folder / data.ids[5]))[None], normalize=True)
        said = [model.encode_text(tokens([prompt.format("red")]), normalize=True) for prompt in PROMPTS]
    assert data.image[5] == pytest.approx(photo[0].numpy(), abs=2e-3)
    assert data.text[2] == pytest.approx(F.normalize(sum(said))[0].numpy(), abs=2e-3)


def test_the_same_images_and_encoder_give_the_same_bytes(images: Dataset, encoder: Path, workdir: Path) -> None:
    one, two = (contents(run(images, encoder, workdir / name)) for name in ("one", "two"))
    assert one == two


def test_features_are_matched_by_id_in_any_order(images: Dataset, have: Callable[..., Path], workdir: Path) -> None:
    folder = have(np.random.default_rng(1).permutation(30))
    embed.run_features(images.folder, folder, workdir / "out")
    data, theirs = features.load(workdir / "out"), features.load(folder)
    place = {name: row for row, name in enumerate(theirs.ids)}
    assert data.ids.tolist() == images.split("train")["id"].tolist()
    assert data.image == pytest.approx(features.unit(theirs.image)[[place[i] for i in data.ids]], abs=1e-3)
    assert np.load(workdir / "out/test_labels.npy").tolist() == images.split("test")["label"].tolist()
    assert read_json(workdir / "out/encoder.json")["encoder"] == "features have"


def test_features_without_text_will_do(images: Dataset, have: Callable[..., Path], workdir: Path) -> None:
    folder = have()
    (folder / "text.npy").unlink()
    embed.run_features(images.folder, folder, workdir / "out")
    assert features.load(workdir / "out").text is None
    assert read_json(workdir / "out/encoder.json")["text"] is False


@pytest.mark.parametrize("ids", [True, False])
def test_features_of_the_pool_alone_will_do(
    images: Dataset, have: Callable[..., Path], workdir: Path, ids: bool
) -> None:
    embed.run_features(images.folder, have((images.index["split"] == "train").to_numpy(), ids=ids), workdir / "out")
    assert features.load(workdir / "out").ids.tolist() == images.split("train")["id"].tolist()
    assert not (workdir / "out/test.npy").exists()


def test_features_without_ids_are_taken_in_order(images: Dataset, have: Callable[..., Path], workdir: Path) -> None:
    folder = have(ids=False)
    embed.run_features(images.folder, folder, workdir / "out")
    pool = (images.index["split"] == "train").to_numpy()
    assert features.load(workdir / "out").image == pytest.approx(
        features.unit(np.load(folder / "image.npy"))[pool], abs=1e-3
    )


@pytest.mark.parametrize("scale", [1e-8, 1e6])
def test_the_length_of_features_does_not_matter(
    images: Dataset, have: Callable[..., Path], workdir: Path, scale: float
) -> None:
    folder = have(scale=scale)
    embed.run_features(images.folder, folder, workdir / "out")
    pool = (images.index["split"] == "train").to_numpy()
    expected = features.unit(np.load(folder / "image.npy"))[pool]
    assert features.load(workdir / "out").image == pytest.approx(expected, abs=1e-3)


def test_an_image_of_the_pool_without_features_is_named(
    images: Dataset, have: Callable[..., Path], workdir: Path
) -> None:
    first = images.split("train").index[0]
    with pytest.raises(InputError) as error:
        embed.run_features(images.folder, have(images.index.index != first), workdir / "out")
    assert f"ids.txt lacks 1 images of the pool, the first '{images.index['id'][first]}'" in str(error.value)
    assert not (workdir / "out").exists()


def test_features_without_ids_have_to_be_as_many_as_the_images(
    images: Dataset, have: Callable[..., Path], workdir: Path
) -> None:
    with pytest.raises(InputError, match=r"9 rows of features for 24 images to choose from \(30 with those held out\)"):
        embed.run_features(images.folder, have(np.arange(0, 27, 3), ids=False), workdir / "out")


def relabelled(folder: Path, labels: Callable[[np.ndarray], np.ndarray], classes: list[str]) -> Path:
    data = features.load(folder)
    features.save(folder, Features(data.image, np.eye(len(classes), 8), labels(data.labels), classes, data.ids))
    return folder


def test_features_of_more_classes_are_refused(images: Dataset, have: Callable[..., Path], workdir: Path) -> None:
    folder = relabelled(have(), lambda labels: np.where(np.arange(30) == 4, 3, labels), [*images.classes, "sky"])
    with pytest.raises(InputError, match="4 classes of features for 3 classes of images"):
        embed.run_features(images.folder, folder, workdir / "out")


def test_features_with_classes_in_another_order_are_refused(
    images: Dataset, have: Callable[..., Path], workdir: Path
) -> None:
    folder = relabelled(have(), lambda labels: np.array([1, 0, 2])[labels], ["green", "blue", "red"])
    with pytest.raises(InputError, match=r"classes\.json: class 0 is 'green', of the images it is 'blue'"):
        embed.run_features(images.folder, folder, workdir / "out")


def test_the_same_classes_by_other_names_will_do(images: Dataset, have: Callable[..., Path], workdir: Path) -> None:
    embed.run_features(
        images.folder, relabelled(have(), lambda labels: labels, ["bleu", "vert", "rouge"]), workdir / "out"
    )
    assert features.load(workdir / "out").classes == images.classes
