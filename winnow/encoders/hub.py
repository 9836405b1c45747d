"""Get weights from a hub by open_clip's tags, and report at once what is missing."""

import difflib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import open_clip
import torch
from huggingface_hub import constants
from open_clip import pretrained as tags

from winnow.errors import InputError
from winnow.reach import answers

PATIENCE = 3.0  # seconds for a hub to answer
SAFE, PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
INSTEAD = "embed.pretrained: null with embed.path naming a checkpoint file"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")


def check_model(model: str) -> None:
    """Refuse an architecture that open_clip does not have.

    Raises:
        InputError: with the names that are nearest.
    """
    names = open_clip.list_models()
    if model not in names:
        near = ", ".join(difflib.get_close_matches(model, names, 3, 0)) or ", ".join(names[:3])
        raise InputError(f"embed.model: open_clip has no architecture {model!r}; the nearest are {near}")


def check_tag(model: str, tag: str) -> dict[str, Any]:
    """What open_clip knows of a tag; nothing is downloaded.

    Raises:
        InputError: the tag does not exist, or belongs to another architecture.
    """
    about = open_clip.get_pretrained_cfg(model, tag)
    if not about:
        known = open_clip.list_pretrained_tags_by_model(model)
        raise InputError(f"embed.pretrained: {model} has no tag {tag!r}; it has {', '.join(known) or 'none'}")
    _check_activation(model, tag, about)
    return dict(about)


def weights(model: str, tag: str) -> tuple[Path, dict[str, Any]]:
    """The weights of a tag as a file, downloaded where the cache lacks them, and what open_clip knows of the tag.

    Raises:
        InputError: the tag does not exist, belongs to another architecture, or is not here and cannot be had.
    """
    about = check_tag(model, tag)
    if file := _cached(about):
        return file, about
    where = about["hf_hub"].rstrip("/") if about.get("hf_hub") else about["url"]
    _refuse_unreachable(
        _host(about),
        f"embed.pretrained: the weights {where} of tag {tag!r}",
        INSTEAD,
    )
    return Path(open_clip.download_pretrained(about)), about


def fetched(url: str, tag: str) -> Path:
    """The file of weights of torchvision, whose name ends in its hash, in the cache or downloaded there.

    Raises:
        InputError: it is not here and cannot be had.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not file.is_file():
        parts = urlsplit(url)
        what = f"embed.pretrained: the weights {url} of tag {tag!r}"
        _refuse_unreachable(f"{parts.scheme}://{parts.netloc}", what, INSTEAD)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=file.stem.rpartition("-")[2])
    return file


def of_repository(repository: str, name: str, tag: str) -> Path:
    """A file of a repository of the hub, in the cache or downloaded there.

    Raises:
        InputError: it is not here and cannot be had.
    """
    if found := _in_cache(repository, name):
        return found
    what = f"embed.pretrained: the weights {repository}/{name} of tag {tag!r}"
    _refuse_unreachable(constants.ENDPOINT, what, INSTEAD)
    return Path(huggingface_hub.hf_hub_download(repository, name))


def check_text(model: str) -> None:
    """Refuse an architecture whose tokenizer or text configuration is neither in the cache nor within reach.

    Raises:
        InputError: naming the repository of the hub that is needed.
    """
    text = (open_clip.get_model_config(model) or {}).get("text_cfg", {})
    for key, names in (("hf_tokenizer_name", TOKENIZER), ("hf_model_name", ("config.json",))):
        repository = text.get(key)
        if repository and not any(_in_cache(repository, name) for name in names):
            _refuse_unreachable(
                constants.ENDPOINT,
                f"embed.model: {model} needs {names[0]} of {repository}",
                "embed.model: local-dir with a folder that holds the tokenizer too",
            )


def _check_activation(model: str, tag: str, about: dict[str, Any]) -> None:
    """Weights trained with QuickGELU give poor features without it, and open_clip only warns."""
    has, needs = ((c or {}).get("quick_gelu", False) for c in (open_clip.get_model_config(model), about))
    if has != needs:
        other = f"{model}-quickgelu" if needs else model.removesuffix("-quickgelu")
        raise InputError(f"embed.model: tag {tag!r} was trained with another activation; use {other!r} for {model!r}")


def _cached(about: dict[str, Any]) -> Path | None:
    """The file of a tag where it lies in a cache already."""
    if not about.get("hf_hub"):
        file = Path("~/.cache/clip").expanduser() / Path(about["url"]).name  # open_clip checks what it downloads
        return Path(tags.download_pretrained_from_url(about["url"])) if file.is_file() else None
    repository, _, name = about["hf_hub"].rpartition("/")
    names = [name, str(Path(name).with_suffix(".safetensors"))] if name else [SAFE, PICKLED]
    return next((found for name in reversed(names) if (found := _in_cache(repository, name))), None)


def _in_cache(repository: str, name: str) -> Path | None:
    found = huggingface_hub.try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None


def _host(about: dict[str, Any]) -> str:
    if about.get("hf_hub"):
        return constants.ENDPOINT
    parts = urlsplit(about["url"])
    return f"{parts.scheme}://{parts.netloc}"


def _refuse_unreachable(host: str, what: str, instead: str) -> None:
    offline = constants.HF_HUB_OFFLINE and host == constants.ENDPOINT
    if offline or not answers(host, PATIENCE, "HEAD"):
        why = "HF_HUB_OFFLINE is set" if offline else f"{host} does not answer within {PATIENCE:.0f} seconds"
        raise InputError(
            f"{what} are not in the cache, and {why}; fetch them where there is a network, or use {instead}"
        )
