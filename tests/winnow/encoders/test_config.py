"""A model folder of a stranger runs no code, opens no file elsewhere and asks no hub, whatever its files say."""

import copy
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
from support import TINY, clip_folder
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from winnow.encoders import config
from winnow.encoders import encoder as encoders
from winnow.encoders.encoder import Checkpoint, Encoder
from winnow.errors import InputError

CODE = """
from pathlib import Path
from transformers import PreTrainedTokenizerFast
Path({harm!r}).write_text("it ran")
class Own(PreTrainedTokenizerFast):
    pass
"""


def load(path: Path) -> Encoder:
    return encoders.load(Checkpoint("local-dir", path), "cpu")


@pytest.fixture
def harm(tmp_path: Path) -> Path:
    """What the code of the folder would write."""
    return tmp_path / "harm"


@pytest.fixture
def clip(tmp_path: Path, harm: Path) -> Path:
    """A model folder with a tokenizer, and a module that writes a file where it is imported."""
    text = {**TINY["text_cfg"], "hf_tokenizer_name": "someone/clip"}  # type: ignore[dict-item]
    path = clip_folder(tmp_path / "clip", TINY | {"text_cfg": text})
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "cat": 2, "dog": 3}, unk_token="[UNK]"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(path)  # noqa: S106
    (path / "own.py").write_text(CODE.format(harm=str(harm)))
    return path


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    known = json.loads(path.read_text())
    edit(known)
    path.write_text(json.dumps(known))


def set_text(clip: Path, **values: object) -> None:
    change(clip / config.CONFIG, lambda known: known["model_cfg"]["text_cfg"].update(values))


AUTO_MAP = {"AutoTokenizer": ["own.Own", "own.Own"], "AutoConfig": "own.Own"}


def with_own_tokenizer(clip: Path) -> None:
    change(clip / "tokenizer_config.json", lambda known: known.update(auto_map=AUTO_MAP, tokenizer_class="Own"))


def test_the_module_of_a_tokenizer_is_not_imported(clip: Path, harm: Path) -> None:
    with_own_tokenizer(clip)
    set_text(clip, tokenizer_kwargs={"trust_remote_code": True})
    with pytest.raises(InputError, match=r"tokenizer_kwargs\.trust_remote_code: Extra inputs are not permitted"):
        load(clip)
    set_text(clip, tokenizer_kwargs={})
    with pytest.raises(InputError, match=r"tokenizer_config\.json has `auto_map`: the code"):
        load(clip)
    assert not harm.exists()


def test_the_module_would_have_been_imported(clip: Path, harm: Path) -> None:
    """The folder above is as harmful as it is meant to be."""
    with_own_tokenizer(clip)
    set_text(clip, tokenizer_kwargs={"trust_remote_code": True})
    open_clip.get_tokenizer(f"local-dir:{clip}")
    assert harm.exists()


def test_transformers_is_told_not_to_run_code(clip: Path, harm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_own_tokenizer(clip)
    monkeypatch.setattr(config, "check", lambda _: None)
    with pytest.raises(InputError, match="trust_remote_code"):
        load(clip)
    assert not harm.exists()


def test_a_configuration_of_a_model_with_code_is_refused(clip: Path, harm: Path) -> None:
    (clip / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": AUTO_MAP}))
    with pytest.raises(InputError, match=r"config\.json has `auto_map`"):
        load(clip)
    assert not harm.exists()


PARTS: list[tuple[str, object]] = [
    ("text_cfg.tokenizer_kwargs.bpe_path", "/etc/passwd"),
    ("text_cfg.tokenizer_kwargs.vocab_file", "/etc/passwd"),
    ("text_cfg.tokenizer_kwargs.cache_dir", "/tmp"),  # noqa: S108
    ("text_cfg.tokenizer_kwargs.code_revision", "main"),
    ("text_cfg.tokenizer_kwargs.clean", "eval"),
    ("text_cfg.hf_model_name", "../elsewhere"),
    ("text_cfg.hf_model_name", "someone/model"),
    ("text_cfg.act_kwargs.hook", "x"),
    ("text_cfg.unknown", 1),
    ("text_cfg.vocab_size", 10**9),
    ("text_cfg.width", -1),
    ("vision_cfg.timm_model_name", "hf-hub:someone/model"),
    ("vision_cfg.timm_model_name", "local-dir:/tmp/model"),
    ("vision_cfg.timm_model_name", "../model"),
    ("vision_cfg.image_size", 10**9),
    ("vision_cfg.image_size", "224"),
    ("vision_cfg.mlp_ratio", float("nan")),
    ("pretrained", "/weights.pt"),
    ("embed_dim", None),
]


@pytest.mark.parametrize(("key", "value"), PARTS)
def test_other_keys_and_values_are_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    known: dict[str, Any] = copy.deepcopy({"model_cfg": TINY})
    *above, last = f"model_cfg.{key}".split(".")
    part = known
    for name in above:
        part = part.setdefault(name, {})
    part[last] = value
    (tmp_path / config.CONFIG).write_text(json.dumps(known))
    with pytest.raises(InputError, match=rf"{config.CONFIG}: model_cfg\.{key}"):
        config.check(tmp_path)


TOKENIZERS: list[tuple[str, object]] = [
    ("init_inputs", ["/etc/passwd"]),
    ("tokenizer_class", "AutoModel"),
    ("tokenizer_class", "AutoTokenizer"),
    ("tokenizer_class", "pipeline"),
    ("tokenizer_class", "os.system"),
    ("vocab_file", "/etc/passwd"),
    ("fast_tokenizer_files", ["../tokenizer.4.0.json"]),
]


@pytest.mark.parametrize(("key", "value"), TOKENIZERS)
def test_a_tokenizer_that_names_code_or_another_place_is_refused(clip: Path, key: str, value: object) -> None:
    (clip.parent / "tokenizer.4.0.json").write_text("{}")
    change(clip / "tokenizer_config.json", lambda known: known.update({key: value}))
    with pytest.raises(InputError, match=rf"tokenizer_config\.json.*{key}"):
        load(clip)


def test_paths_that_an_author_left_behind_do_no_harm(clip: Path) -> None:
    left = {"special_tokens_map_file": "/home/author/.cache/map.json", "tokenizer_file": None, "name_or_path": "x/y"}
    change(clip / "tokenizer_config.json", lambda known: known.update(left))
    assert load(clip).tokenizer(["dog cat"])[0, :2].tolist() == [3, 2]


NO_JSON = ["", "[]", "[" * 200_000, '"x"', "\xff"]
DAMAGE = [(name, content) for name in (config.CONFIG, "tokenizer_config.json") for content in NO_JSON]


@pytest.mark.parametrize(("name", "content"), [*DAMAGE, (config.CONFIG, "{}"), (config.CONFIG, '{"model_cfg": 3}')])
def test_a_damaged_configuration_is_named(clip: Path, name: str, content: str) -> None:
    (clip / name).write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=name) as error:
        load(clip)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("name", open_clip.list_models())
def test_every_architecture_of_open_clip_is_known(tmp_path: Path, name: str) -> None:
    known = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {"mean": [0.5] * 3, "size": [224, 224]}}
    (tmp_path / config.CONFIG).write_text(json.dumps(known))
    config.check(tmp_path)


def test_a_folder_asks_no_hub(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *place, **_: asked.append(place) or [])
    load(clip)
    assert not asked
