"""Describe a release in MLCommons Croissant (croissant.json), so that other tools can find and read it."""

from pathlib import Path
from typing import Any

from winnow.files import hashes, json_files

CONTEXT = Path(__file__).with_name("croissant.context.json")
TABLE = "scores.parquet"
FIELDS = {
    "id": ("sc:Text", "Name of the sample in its source."),
    "label": ("sc:Integer", "Index of its class."),
    "class_name": ("sc:Text", "Name of its class."),
    "alignment": ("sc:Float", "How likely the label is right: higher is more likely."),
    "selected": ("sc:Boolean", "Whether the subset has it."),
    "reason": ("sc:Text", "Why it was dropped; empty where it was kept."),
    "evidence": ("sc:Text", "The class that it looks like, or the sample that covers it."),
    "sha256": ("sc:Text", "SHA-256 of the image's bytes."),
}


def describe(release: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Describe the ids and scores that lie in the folder `release`, with the manifest `made`.

    It states no version: that is given when the release is published, and its bytes are fixed before.
    """
    pool, subset = made["pool"]["samples"], made["subset"]["samples"]
    return {
        "@context": json_files.read_json(CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": made["name"],
        "description": f"The {subset:,} of {pool:,} labelled images that are worth training on, chosen by Winnow.",
        "license": made["license"],
        "url": "./",
        "citeAs": f"ids and labels SHA-256 {made['subset']['digest']}",
        "distribution": [_file(release, "ids.txt", "text/plain"), _file(release, TABLE, "application/x-parquet")],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "description": "Every sample of the pool: its scores, and whether and why it was kept.",
                "field": [_field(name, kind, words) for name, (kind, words) in FIELDS.items()],
            }
        ],
    }


def _file(release: Path, name: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{(release / name).stat().st_size} B",
        "encodingFormat": kind,
        "sha256": hashes.file_sha256(release / name),
    }


def _field(name: str, kind: str, words: str) -> dict[str, Any]:
    source = {"fileObject": {"@id": TABLE}, "extract": {"column": name}}
    return {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": name,
        "description": words,
        "dataType": kind,
        "source": source,
    }
