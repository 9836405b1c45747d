"""Dark, light, blurry and blank images, by the measures and thresholds of cleanvision.

Measuring brightness takes several times as long as decoding a photograph. So images are first reduced to about SIDE
pixels, which changes nothing for images smaller than twice that, and very little for larger ones.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

SIDE = 64  # pixels of the longer side; at most twice that are left
MEASURES = ("brightness_perc_99", "brightness_perc_5", "blurriness", "blurriness_grayscale_std", "entropy")
FLAWS = ("dark", "light", "blurry", "low_information")  # the last is what people call blank


@cache
def _cleanvision() -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """cleanvision's measure of each flaw, and its thresholds; a second to import, so only where it is used."""
    from cleanvision.issue_managers.image_property import BlurrinessProperty, BrightnessProperty, EntropyProperty
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

    kinds = {
        "dark": BrightnessProperty("dark"),
        "light": BrightnessProperty("light"),
        "blurry": BlurrinessProperty(),
        "low_information": EntropyProperty(),
    }
    return kinds, ImagePropertyIssueManager().get_default_params()


def measure(image: Image.Image) -> list[float]:
    """The MEASURES of an RGB image."""
    from cleanvision.issue_managers.image_property import calc_percentile_brightness

    light, dark = calc_percentile_brightness(_reduced(image, SIDE), [5, 99])
    # cleanvision itself looks for edges at 64 pixels; it gets there sooner from an image that is no longer large.
    kinds, _ = _cleanvision()
    found = kinds["blurry"].calculate(_reduced(image, 2 * SIDE)) | kinds["low_information"].calculate(image)
    return [float(dark), float(light), *(float(found[name]) for name in MEASURES[2:])]


def _reduced(image: Image.Image, side: int) -> Image.Image:
    factor = max(image.size) // side
    return image.reduce((min(factor, image.width), min(factor, image.height))) if factor > 1 else image


def judge(measures: pd.DataFrame) -> pd.DataFrame:
    """For each flaw whether an image has it, and its score in [0, 1], lower for worse.

    Args:
        measures: a row an image, columns MEASURES.

    Returns:
        Columns `dark`, `dark_score` and so on.
    """
    kinds, params = _cleanvision()
    table = {}
    for flaw, kind in kinds.items():
        how = params[flaw]
        rest = {name: value for name, value in how.items() if name != "threshold"}
        scores = kind.get_scores(measures.astype(np.float64), flaw, **rest)
        table[flaw] = kind.mark_issue(scores, flaw, how["threshold"]).iloc[:, 0].to_numpy(bool)
        table[f"{flaw}_score"] = scores.iloc[:, 0].to_numpy(np.float32)
    return pd.DataFrame(table, index=measures.index)
