"""Write the report of a release: one HTML page that needs no other file and no network.

Thumbnails and figures are embedded, and everything that enters the page is escaped. Its script is static, and the page
allows no other. The same release gives the same bytes.

The most suspected labels have pictures, up to a total size of `ROOM`. The others are rows of JSON, from which the
script makes cards without pictures.
"""

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from winnow.files import outputs
from winnow.images import dataset
from winnow.images.dataset import Dataset
from winnow.reports import figures, galleries, pages
from winnow.reports.galleries import GalleryImage
from winnow.selection import held_out as judgement
from winnow.selection import reasons
from winnow.selection.reasons import DAMAGED, SUSPECTED
from winnow.training import probe
from winnow.training.arms import ARMS

SIZE = 112  # pixels of a thumbnail's longer side
QUALITY = 70
ROOM = 8_000_000  # bytes of pictures in the page
BATCH = 50  # suspects whose pictures are made at a time
LISTED = 50_000  # suspects without a picture, at most; each takes some 80 bytes
ABSENT: dict[str, Any] = {"wrong_labels": None, "damaged": None, "trusted_accuracy": None, "shifted": {}}  # of results
SCRIPT = Path(__file__).with_name("templates") / "report.js"


def render(
    data: Dataset,
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    described: dict[str, Any],
    held_out: pd.DataFrame | None = None,
) -> str:
    """The page.

    Args:
        data: the images.
        table: the release's scores, a row for every sample of the pool.
        pairs: near duplicates among them, as `selection.near_duplicates` finds them.
        described: the release's manifest, without the hashes of files.
        held_out: the release's table of held-out images, where they were judged.
    """
    classes = data.classes
    shown = {
        "suspects": galleries.suspects(table, classes),
        "conflicts": galleries.near_duplicates(table, pairs, classes, same_class=False),
        "twins": galleries.near_duplicates(table, pairs, classes, same_class=True),
        "damaged": galleries.damaged(table, classes),
    }
    if "given_label" in table:
        shown["relabelled"] = galleries.relabelled(table, classes)
    if held_out is not None:
        shown["held_out"] = galleries.held_out(held_out, table, classes)
        shown["leaks"] = galleries.leaks(held_out, table, classes)
    ends = galleries.ends_of_classes(table, classes)
    suspects = shown["suspects"]
    pictures = _pictures(data, [look for group in (*list(shown.values())[1:], *ends.values()) for look in group])
    shown["suspects"] = suspects[: _add_pictures(pictures, data, suspects)]
    unseen = suspects[len(shown["suspects"]) :]
    looks = [look for group in (*shown.values(), *ends.values()) for look in group]
    uses = Counter(name for look in looks for name in (look.id, *(other for other, _ in look.beside)))
    trusted = (table["predicted"] != table["label"]) & ~table["reason"].isin([SUSPECTED, DAMAGED])
    why = reasons.counted(described["selection"])
    script = SCRIPT.read_text(encoding="utf-8")
    content = described | {
        "arms": ARMS,
        "why": [(described["selection"][reasons.key(reason)], words) for reason, (_, words) in why.items()],
        "reason_names": [*why, "kept"],
        "galleries": shown,
        "ends": ends,
        "pictures": pictures,
        "shared": {name: number for number, name in enumerate(n for n, count in uses.items() if count > 1)},
        "unseen": [[look.id, look.given, look.likely, look.note] for look in unseen[:LISTED]],
        "unlisted": max(0, len(unseen) - LISTED),
        "suspected": len(suspects),
        "judged": None if held_out is None else judgement.stated(described["selection"]),
        "trusted": {"samples": int(trusted.sum()), "share": float(trusted.mean())},
        "size": SIZE,
        "figures": _figures(table, described),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "results": ABSENT | described["results"],
        "trained": trained(described["parameters"]["evaluate"], described["results"]["budget"]),
    }
    return pages.render("report.html.jinja", content)


def trained(how: dict[str, Any], budget: str) -> str:
    """Describe how the models of an evaluation were trained."""
    if how["model"] == probe.PROBE:
        return "a linear probe on the encoder's features"
    begun = "from a checkpoint" if how.get("checkpoint") else "from scratch"
    return f"the network {how['model']} {begun}, for {budget} on each"


def _pictures(data: Dataset, looks: list[GalleryImage], known: Collection[str] = ()) -> dict[str, str]:
    """Thumbnails of the images shown, as data URIs by id, without those that are `known`."""
    ids = dict.fromkeys(name for look in looks for name in (look.id, *(other for other, _ in look.beside)))
    wanted = [name for name in ids if name not in known]
    return {name: _uri(image) for name, image in dataset.thumbnails(data, wanted, SIZE).items()}


def _add_pictures(pictures: dict[str, str], data: Dataset, suspects: list[GalleryImage]) -> int:
    """Add the pictures of suspects, the first ones first, until there is no more room; of how many there are."""
    for start in range(0, len(suspects), BATCH):
        if sum(map(len, pictures.values())) > ROOM:
            return start
        pictures |= _pictures(data, suspects[start : start + BATCH], pictures)
    return len(suspects)


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
