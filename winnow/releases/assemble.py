"""Stage release: put the subset, its scores and its provenance into one folder for others to use.

In:  every stage above. Out, in data/release/:

    ids.txt          the ids that were kept, sorted
    scores.parquet   a row for every sample of the pool: scores, prediction, selected, why it was dropped, and a
                     SHA-256 of the image's bytes
    held_out.parquet  a row for every held-out image that was judged (`selection.held_out`), and a SHA-256 of its bytes
    manifest.json    what made it: encoder, adapters, parameters, inputs, counts, versions, and a SHA-256 of each file
    card.md          the data card, with figures/
    accuracy.csv     one row per evaluation training; classes.csv: one row per class (`training.evaluate`)
    croissant.json   what the ids and scores are, in MLCommons Croissant
    report.html      a page in one file, with galleries, search, and corrections to save

A release contains no timestamp, run id or absolute path, so the same inputs give the same bytes.
"""

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import winnow
from winnow.checking import words as checked_words
from winnow.corrections import DECISIONS
from winnow.files import hashes, json_files, outputs
from winnow.images import dataset
from winnow.images.dataset import Dataset
from winnow.releases import croissant, manifest
from winnow.reports import figures, pages, report
from winnow.run import pipeline
from winnow.selection import held_out as judgement
from winnow.selection import reasons
from winnow.tracking import Version
from winnow.training.arms import ARMS

PACKAGES = ("torch", "torchvision", "open_clip_torch", "numpy", "pandas", "pyarrow", "pillow", "scikit-learn")
SUSPECTS = 24
LEAST_KEPT = LEAST_FOUND = 10  # classes that are listed


def run(stages: Path, out: Path, *, name: str, parameters: dict[str, Any], licence: str = "unknown") -> None:
    """Write the release of the results in `stages` (the folder of the stages' outputs) to `out`.

    Args:
        stages: the folder of the stages' outputs.
        out: the folder to write.
        name: of the release.
        parameters: all of them, for the manifest.
        licence: of the source, by the hub's name for it; it carries over to the subset.
    """
    data = dataset.load(stages / "prepare" / "images")
    table = pd.read_parquet(stages / "optimize" / "subset.parquet")
    pairs = pd.read_parquet(stages / "score" / "near_duplicates.parquet")
    held_out = _held_out(stages / "optimize" / judgement.TABLE)
    for part in (table, held_out):
        if part is not None:
            part["sha256"] = part["id"].map(data.index.set_index("id")["sha256"])
    with outputs.whole_folder(out) as folder:
        kept = sorted(table.loc[table["selected"], "id"])
        (folder / "ids.txt").write_text("".join(f"{i}\n" for i in kept), encoding="utf-8")
        table.to_parquet(folder / "scores.parquet", index=False)
        if held_out is not None:
            held_out.to_parquet(folder / judgement.TABLE, index=False)
        for judged in ("accuracy.csv", "classes.csv"):
            shutil.copy(stages / "evaluate" / judged, folder / judged)
        described = describe(stages, data, table, name, parameters) | {"license": licence}
        json_files.write_json(folder / "croissant.json", croissant.describe(folder, described))
        _draw(folder / "figures", data, table, described)
        (folder / "card.md").write_text(_card(data, described, folder / "classes.csv"), encoding="utf-8")
        (folder / "report.html").write_text(report.render(data, table, pairs, described, held_out), encoding="utf-8")
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        sums = {path.relative_to(folder).as_posix(): hashes.file_sha256(path) for path in paths}
        json_files.write_json(folder / "manifest.json", described | {"files": sums})


def _held_out(path: Path) -> pd.DataFrame | None:
    """What is thought of held-out images; None where none were judged."""
    table = pd.read_parquet(path) if path.is_file() else None
    return None if table is None or table.empty else table


def describe(stages: Path, data: Dataset, table: pd.DataFrame, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The manifest, without the hashes of the release's files."""
    kept = table[table["selected"]]
    counts = class_counts(table, data.classes), class_counts(kept, data.classes)
    return {
        "format": manifest.FORMAT,
        "name": name,
        "classes": data.classes,
        "pool": {"samples": len(table), "classes": len(data.classes), "digest": manifest.digest(table)},
        "subset": {"samples": len(kept), "digest": manifest.digest(kept)},
        "class_counts": {
            c: {"pool": int(pool), "kept": int(left)} for c, pool, left in zip(data.classes, *counts, strict=True)
        },
        "images_sha256": hashes.sha256(*data.index["id"], *data.index["sha256"]),
        "quarantined": len(pd.read_parquet(stages / "prepare" / "quarantine.parquet")),
        "corrections": _corrections(stages / "prepare" / "corrections.parquet", table),
        "prepared": json_files.read_json(stages / "prepare" / "summary.json"),
        "encoder": json_files.read_json(stages / "embed" / "encoder.json"),
        "adapters_sha256": hashes.file_sha256(stages / "adapt" / "adapters.safetensors"),
        "selection": json_files.read_json(stages / "optimize" / "metrics.json"),
        "adaptation": json_files.read_json(stages / "adapt" / "metrics.json"),
        "parameters": without_folders(parameters),
        "results": json_files.read_json(stages / "evaluate" / "metrics.json"),
        "packages": {"winnow": winnow.__version__} | {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def version(release: Path, tags: dict[str, str]) -> Version:
    """What MLflow is told of the release in the folder `release`."""
    opened = manifest.load(release)
    described, table, cells = opened.manifest, opened.scores, opened.trainings
    kept = table[table["selected"]]
    results = described.adaptation.stated() | described.results.stated()
    measured = manifest.flat({"selection": described.selection} | results)
    return Version(
        name=f"{described.name} keep={described.parameters.optimize.keep:g}",
        fingerprint=opened.fingerprint,
        parameters=manifest.flat(described.parameters.stated()),
        metrics={"kept": len(kept), "dropped": len(table) - len(kept)}
        | {key: value for key, value in measured.items() if isinstance(value, int | float)},
        tags=tags | {"dvc.md5": pipeline.folder_md5(release)},
        pool=(table[["id", "class_name"]], described.pool.digest),
        subset=(kept[["id", "class_name"]], described.subset.digest),
        source=described.parameters.prepare.source,
        model=described.name,
        cells=[] if cells is None else [{str(k): v for k, v in row.items()} for row in cells.to_dict("records")],
        artifacts=release,
        description=_description(described),
    )


def _description(described: manifest.Manifest) -> str:
    """A release in a few words of Markdown."""
    kept, pool, results = described.subset.samples, described.pool.samples, described.results
    counts = (
        (name, described.selection.get(reasons.key(reason), 0))
        for reason, (name, _) in reasons.counted(described.selection).items()
    )
    why = ", ".join(f"{count:,} {name}" for name, count in counts if count) or "nothing"
    lines = [f"Kept {kept:,} of {pool:,} images. Dropped: {why}."]
    judged = described.selection if described.selection.get("held_out") else None
    lines += [f"{judgement.stated(judged)}."] if judged else []
    checked = checked_words.stated(described.selection)
    lines += [f"Wrong labels: {checked}."] if checked else []
    measured = [part for part in (results.accuracy, results.trusted_accuracy) if part]
    names = ["trained on", "test accuracy", "where the label is not suspected"][: 1 + len(measured)]
    lines += ["", f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for arm, words in ARMS.items():
        found = (f"{part.of(arm).mean:.2%} ± {100 * part.of(arm).std:.2f}" for part in measured)
        lines.append(f"| {' | '.join([words, *found])} |")
    return "\n".join(lines)


def _corrections(path: Path, pool: pd.DataFrame) -> dict[str, int]:
    """How many decisions of a person went into the data, by kind; those to keep count what they put into the subset."""
    made = pd.read_parquet(path)
    counted = made[(made["decision"] != "keep") | made["id"].isin(pool["id"])]["decision"].value_counts()
    return {decision: int(counted.get(decision, 0)) for decision in DECISIONS}


def class_counts(table: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """(C,) samples in each class."""
    return np.bincount(table["label"], minlength=len(classes))


def without_folders(parameters: Any) -> Any:
    """Parameters with absolute paths cut to their last name: where a folder lies is no part of a release."""
    if isinstance(parameters, dict):
        return {key: without_folders(value) for key, value in parameters.items()}
    if isinstance(parameters, list):
        return [without_folders(value) if isinstance(value, dict) else value for value in parameters]
    if isinstance(parameters, str) and Path(parameters).is_absolute():
        return Path(parameters).name
    return parameters


def _draw(folder: Path, data: Dataset, table: pd.DataFrame, described: dict[str, Any]) -> None:
    folder.mkdir()
    seeds = described["parameters"]["evaluate"]["seeds"]
    figures.accuracy(described["results"]["accuracy"], seeds, folder / "accuracy.png")
    pool, kept = class_counts(table, data.classes), class_counts(table[table["selected"]], data.classes)
    figures.class_counts(pool, kept, data.classes, folder / "classes.png")
    figures.scores(table, folder / "scores.png")
    suspects = table[~table["selected"]].sort_values(["alignment", "id"]).head(SUSPECTS)
    images = dataset.thumbnails(data, list(suspects["id"]), 96)
    captions = [
        f"said: {figures.shortened(given)}\nlike: {figures.shortened(data.classes[looks])}"
        for given, looks in zip(suspects["class_name"], suspects["predicted"], strict=True)
    ]
    figures.gallery([images[i] for i in suspects["id"]], captions, folder / "suspects.png")


def _card(data: Dataset, described: dict[str, Any], classes: Path) -> str:
    results = described["results"]
    hardest = pd.read_csv(classes).dropna().sort_values(["subset", "class_name"]).head(LEAST_FOUND)
    return pages.render(
        "card.md.jinja",
        described
        | {
            "results": report.ABSENT | results,
            "arms": ARMS,
            "reasons": {
                reasons.key(reason): meaning for reason, (_, meaning) in reasons.counted(described["selection"]).items()
            },
            "faults": {"wrong_labels": "wrong labels", "damaged": "damaged images"},
            "kept_counts": [count["kept"] for count in described["class_counts"].values()],
            "held_out": len(data.split("test")),
            "judged": judgement.stated(described["selection"]) if described["selection"].get("held_out") else None,
            "hardest": hardest.to_dict("records"),
            "trained": report.trained(described["parameters"]["evaluate"], results["budget"]),
            "least_kept": _least_kept(described["class_counts"]),
            "size_category": _size_category(described["subset"]["samples"]),
        },
    )


def _least_kept(counts: dict[str, dict[str, int]]) -> list[tuple[str, dict[str, int]]]:
    """The classes that lost the largest share, the worst first."""
    return sorted(counts.items(), key=lambda item: (item[1]["kept"] / max(1, item[1]["pool"]), item[0]))[:LEAST_KEPT]


def _size_category(n: int) -> str:
    """The hub's name for the order of magnitude of a data set."""
    names = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
    return names[min(max(len(str(n)) - 3, 0), len(names) - 1)]
