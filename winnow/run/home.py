"""Let packages write to the project's scratch folder if the user's home directory cannot be written to.

`docker --user` and cluster nodes often provide such a home, and Prefect then waits for minutes and fails. Files that
can be read there (credentials, profiles, downloaded weights) are still read from there.
"""

import os
from contextlib import suppress
from pathlib import Path

from winnow.files.locks import SCRATCH  # whose module loads no numpy, as `winnow --help` does not

WRITTEN = {"PREFECT_HOME": ".prefect", "MPLCONFIGDIR": ".config/matplotlib"}
CACHES = {"HF_HOME": ".cache/huggingface", "TORCH_HOME": ".cache/torch"}  # of use even where they can only be read


def ensure() -> None:
    """Point what cannot be written to the scratch folder; has to come before Prefect is imported."""
    spare = (SCRATCH / "home").absolute()
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute() or not (os.path.isdir(home) or writable(home)):
        with suppress(OSError):  # a folder that nobody can write to; who needs a home there will say so
            spare.mkdir(parents=True, exist_ok=True)
        os.environ["HOME"] = str(spare)
        home = spare
    folders = {name: Path(os.environ.get(name) or home / folder) for name, folder in (WRITTEN | CACHES).items()}
    profiles = folders["PREFECT_HOME"] / "profiles.toml"
    for name, folder in folders.items():
        if not (writable(folder) or (name in CACHES and os.path.isdir(folder))):
            with suppress(OSError):
                (spare / name.lower()).mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(spare / name.lower())
            if name == "PREFECT_HOME" and os.access(profiles, os.R_OK):
                os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))


def writable(folder: Path) -> bool:
    """Whether a folder can be written to, or made."""
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.exists(each))
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)
