"""Dark, light, blurry and blank images are those that cleanvision finds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cleanvision import Imagelab
from PIL import Image

from winnow.images import flaws


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with one flaw each, and some without."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (90, 100, 3)).astype(np.uint8))
    ramp = 60 + (64 * np.arange(64) + np.arange(64)[:, None]) / 32  # every grey alike often, and no edge
    images = {
        "good": noise,
        "dark": noise.point(lambda value: value // 8),
        "light": noise.point(lambda value: 248 + value // 32),
        "blurry": Image.fromarray(ramp.astype(np.uint8)).convert("RGB"),
        "blank": Image.new("RGB", (100, 90), "white"),
        "one pixel": Image.new("RGB", (1, 1), "grey"),
        "a line": Image.new("RGB", (120, 1), "grey"),
    }
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    return folder


def ours(paths: list[Path]) -> pd.DataFrame:
    measures = [flaws.measure(Image.open(path).convert("RGB")) for path in paths]
    return flaws.judge(pd.DataFrame(measures, columns=list(flaws.MEASURES), index=[path.stem for path in paths]))


def test_small_images_are_judged_as_cleanvision_judges_them(photos: Path) -> None:
    paths = sorted(photos.iterdir())
    lab = Imagelab(filepaths=[str(path) for path in paths])
    lab.find_issues({flaw: {} for flaw in flaws.FLAWS}, n_jobs=1, verbose=False)
    theirs = lab.issues.rename(index=lambda path: Path(path).stem)
    found = ours(paths)
    for flaw in flaws.FLAWS:
        assert found[flaw].to_dict() == theirs[f"is_{flaw}_issue"].to_dict()
        np.testing.assert_allclose(found[f"{flaw}_score"], theirs.loc[found.index, f"{flaw}_score"], rtol=1e-5)
    for name, flaw in (("dark", "dark"), ("light", "light"), ("blurry", "blurry"), ("blank", "low_information")):
        assert found.loc[name, flaw]
    assert not found.loc["good", list(flaws.FLAWS)].any()


def test_large_images_are_judged_the_same_as_small_ones(photos: Path) -> None:
    for name in ("dark", "light", "blank", "good"):
        large = Image.open(photos / f"{name}.png").resize((1600, 1440), Image.Resampling.NEAREST)
        found = flaws.judge(pd.DataFrame([flaws.measure(large)], columns=list(flaws.MEASURES)))
        assert (
            found[["dark", "light", "low_information"]].iloc[0].tolist()
            == [name == "dark", name == "light", name == "blank"]
            or name == "blank"
        )


def test_a_long_line_is_measured() -> None:
    assert len(flaws.measure(Image.new("RGB", (5000, 1)))) == len(flaws.MEASURES)
