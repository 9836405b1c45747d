"""Weights of a tag come from the cache, or it is told at once that they cannot be had."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from winnow.encoders import hub
from winnow.errors import InputError

MODEL, TAG, REPOSITORY = "ViT-B-32", "laion2b_s34b_b79k", "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub that takes calls and never answers."""
    monkeypatch.setattr(hub, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def lay(cache: Path, repository: str, name: str) -> Path:
    """Put a file into the cache as the hub's client does."""
    folder = cache / repository
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("abc")
    (folder / "snapshots/abc").mkdir(parents=True)
    (folder / "snapshots/abc" / name).write_bytes(b"weights")
    return folder / "snapshots/abc" / name


@pytest.mark.parametrize("name", [hub.SAFE, hub.PICKLED])
def test_what_is_in_the_cache_needs_no_network(
    cache: Path, silent: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    file = lay(cache, REPOSITORY, name)
    found, about = hub.weights(MODEL, TAG)
    assert found == file
    assert len(about["mean"]) == 3


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "https://no-such-host.invalid", "nonsense"])
def test_a_hub_that_is_away_is_told_at_once(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", host)
    start = time.perf_counter()
    with pytest.raises(InputError, match=rf"tag '{TAG}' are not in the cache, and {host} does not answer.*embed\.path"):
        hub.weights(MODEL, TAG)
    assert time.perf_counter() - start < hub.PATIENCE + 2


def test_a_hub_that_never_answers_is_not_waited_for(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    with pytest.raises(InputError, match="does not answer"):
        hub.weights(MODEL, TAG)


def test_offline_means_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        hub.weights(MODEL, TAG)


def test_siglips_tokenizer_is_looked_for_too(cache: Path, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    with pytest.raises(InputError, match=r"ViT-B-16-SigLIP needs tokenizer\.json of timm/ViT-B-16-SigLIP"):
        hub.check_text("ViT-B-16-SigLIP")
    lay(cache, "models--timm--ViT-B-16-SigLIP", "tokenizer.json")
    hub.check_text("ViT-B-16-SigLIP")
    hub.check_text(MODEL)
