"""Print what `winnow release verify` found: each fault, and whether the release is whole and can be made again."""

import json
from pathlib import Path
from typing import Any

from winnow.releases import verify
from winnow.releases.manifest import Release
from winnow.terminal.console import Console, plain
from winnow.terminal.say import say


def run(
    release: Release,
    images: Path | None,
    source: str | None,
    rebuild: bool,
    repository: str | None,
    as_json: bool,
    quiet: bool,
) -> bool:
    """Verify a release and say what came of it; whether it is whole, and with `rebuild` the same bytes again.

    Raises:
        InputError: that cannot be told.
    """
    console = Console(stderr=as_json)
    data, unseen = verify.at_hand(release, images, source)
    faults = verify.run(release, data)
    release.check_unchanged()
    found: dict[str, Any] = {
        "release": str(release.folder),
        "whole": not faults,
        "manifest_sha256": release.fingerprint,
        "files": len(release.manifest.files),
        "images": str(data.folder) if data else None,
        "faults": [{"where": fault.where, "what": fault.what} for fault in faults],
    }
    _say(console, found, unseen, quiet)
    if rebuild and not faults:
        found["rebuilt"] = _rebuild(release, repository, source, console, quiet)
    if as_json:
        say(json.dumps(found, indent=2))
    return not faults and not any(found.get("rebuilt", {}).values())


def _say(console: Console, found: dict[str, Any], unseen: str, quiet: bool) -> None:
    for fault in found["faults"]:
        console.print(f"[red]✗[/red] {plain(fault['where'])}: {plain(fault['what'])}")
    if quiet:
        return
    checked = f"{found['files']} files" + (f" and the images in {found['images']}" if found["images"] else "")
    if unseen:
        console.print(f"  {plain(unseen)}")
    if found["faults"]:
        console.print(f"{plain(found['release'])} is not what was released ({plain(checked)})")
        return
    console.print(f"[green]✓[/green] {plain(found['release'])} is whole: {plain(checked)}")
    console.print(f"  manifest SHA-256 {found['manifest_sha256']}")


def _rebuild(
    release: Release, repository: str | None, source: str | None, console: Console, quiet: bool
) -> dict[str, str]:
    """Make a release again: how each file differs, empty where the bytes are the same."""
    from winnow.releases import origin
    from winnow.releases import rebuild as rebuilding
    from winnow.run import prefect_server

    start = origin.find(release, repository)
    with prefect_server.shared() as env:
        told = Console(stderr=console.stderr, quiet=quiet)
        files = rebuilding.run(release, start, env, source, lambda words: told.print(f"- {plain(words)}"))
    for name, difference in files.items():
        if quiet and not difference:
            continue
        mark = "[red]✗[/red]" if difference else "[green]✓[/green]"
        console.print(f"{mark} {plain(f'{name} {difference}'.rstrip())}")
    differing = sum(map(bool, files.values()))
    if differing:
        console.print(f"{differing} of {len(files)} files are not the same bytes as those made again")
    elif not quiet:
        console.print(f"made again at {start.commit[:12]}: all {len(files)} files are the same bytes")
    return files
