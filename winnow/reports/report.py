"""The report of a release: one HTML page that needs no other file and no network.

Thumbnails and figures are in the page, and everything that enters it is escaped; its script is static and holds no
data, and the page allows no other. The same release gives the same bytes.
"""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from winnow.files import outputs
from winnow.images import dataset
from winnow.images.dataset import Dataset
from winnow.reports import figures, galleries, pages
from winnow.reports.galleries import Look
from winnow.selection import reasons
from winnow.selection.reasons import REASONS
from winnow.training import probe
from winnow.training.arms import ARMS

SIZE = 112  # pixels of a thumbnail's longer side
QUALITY = 70
SCRIPT = Path(__file__).with_name("templates") / "report.js"


def render(data: Dataset, table: pd.DataFrame, pairs: pd.DataFrame, described: dict[str, Any]) -> str:
    """The page.

    Args:
        data: the images.
        table: the release's scores, a row for every sample of the pool.
        pairs: near duplicates among them, as `selection.near_duplicates` finds them.
        described: the release's manifest, but for the hashes of files.
    """
    classes = data.classes
    shown = {
        "suspects": galleries.suspects(table, classes),
        "conflicts": galleries.near_duplicates(table, pairs, classes, same_class=False),
        "twins": galleries.near_duplicates(table, pairs, classes, same_class=True),
        "damaged": galleries.damaged(table, classes),
    }
    ends = galleries.ends_of_classes(table, classes)
    looks = [look for group in (*shown.values(), *ends.values()) for look in group]
    script = SCRIPT.read_text(encoding="utf-8")
    content = described | {
        "arms": ARMS,
        "why": [(described["selection"][reasons.key(reason)], words) for reason, (_, words) in REASONS.items()],
        "reason_names": [*REASONS, "kept"],
        "galleries": shown,
        "ends": ends,
        "pictures": _pictures(data, looks),
        "figures": _figures(table, described),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "results": {"wrong_labels": None, "damaged": None, "shifted": {}} | described["results"],
        "trained": trained(described["parameters"]["evaluate"], described["results"]["budget"]),
    }
    return pages.render("report.html.jinja", content)


def trained(how: dict[str, Any], budget: str) -> str:
    """How the models of an evaluation were trained, in words."""
    if how["model"] == probe.PROBE:
        return "a linear probe on the encoder's features"
    begun = "from a checkpoint" if how.get("checkpoint") else "from scratch"
    return f"the network {how['model']} {begun}, for {budget} on each"


def _pictures(data: Dataset, looks: list[Look]) -> dict[str, str]:
    """Thumbnails of what is shown, as data URIs by id."""
    ids = dict.fromkeys(name for look in looks for name in (look.id, *(other for other, _ in look.beside)))
    return {name: _uri(image) for name, image in dataset.thumbnails(data, list(ids), SIZE).items()}


def _uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _figures(table: pd.DataFrame, described: dict[str, Any]) -> dict[str, str]:
    """Figures as SVG that takes the colours of the page."""
    with outputs.temporary("figures") as room:
        scores, accuracy = room / "scores.svg", room / "accuracy.svg"
        figures.scores(table, scores)
        figures.accuracy(described["results"]["accuracy"], described["parameters"]["evaluate"]["seeds"], accuracy)
        return {path.stem: path.read_text(encoding="utf-8") for path in (scores, accuracy)}
