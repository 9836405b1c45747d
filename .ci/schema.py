"""Write docs/manifest.schema.json, the form of a release's manifest.json, from winnow/releases/manifest.py."""

import json
from pathlib import Path

from winnow.releases.manifest import Manifest

PLACE = Path(__file__).parents[1] / "docs" / "manifest.schema.json"


def text() -> str:
    """The schema as it stands in the file."""
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(about | Manifest.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
