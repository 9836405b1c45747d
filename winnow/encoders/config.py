"""Check the configuration of an open_clip model folder before open_clip or transformers read it.

They take names, arguments and classes from these files, and some of those open other files, contact a hub, or import
Python modules from the folder. Only sizes, switches and names that open_clip knows pass these checks.
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from winnow.errors import InputError
from winnow.files.json_files import read_json

CONFIG = "open_clip_config.json"
TOKENIZER = ("tokenizer_config.json", "config.json")  # read by transformers, where the folder has a tokenizer
BIOMED = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
CLASS = re.compile(r"(?!Auto|Rag)\w*Tokenizer(Fast)?|TokenizersBackend|PreTrainedTokenizer(Fast)?")
PATH_KEY = re.compile(r"(_file|_files|_path|_dir)$")

Count = Annotated[int, Field(ge=0, le=2**21)]
Number = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
Word = Annotated[str, Field(pattern=r"^[a-z_]{0,30}$")]
Size = Count | Annotated[list[Count], Field(min_length=2, max_length=2)]


class ConfigPart(BaseModel):
    """A part of the configuration: no key but those listed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LayerOptions(ConfigPart):
    """Arguments of a normalisation or an activation."""

    eps: Number = 0
    approximate: Literal["none", "tanh"] = "none"
    elementwise_affine: bool = True
    bias: bool = True


class TokenizerOptions(ConfigPart):
    """Arguments of a tokenizer."""

    clean: Literal["canonicalize", "lower", "whitespace"] = "whitespace"
    strip_sep_token: bool = False
    language: Annotated[str, Field(pattern=r"^[A-Za-z_]{1,20}$")] = "en"
    padding_side: Literal["left", "right"] = "right"
    add_bos_token: bool = False
    add_eos_token: bool = False
    do_lower_case: bool = False
    legacy: bool = False


class Tower(ConfigPart):
    """What both towers have."""

    layers: Count | Annotated[list[Count], Field(max_length=8)] = 12
    width: Count = 0
    mlp_ratio: Number = 4
    ls_init_value: Number | None = None
    pool_type: Word = ""
    output_tokens: bool = False
    final_ln_after_pool: bool = False
    act_kwargs: LayerOptions | None = None
    norm_kwargs: LayerOptions | None = None
    block_type: Word | None = None
    qk_norm: bool = False
    scaled_cosine_attn: bool = False
    scale_heads: bool = False
    scale_attn_inner: bool = False
    scale_attn: bool = False
    scale_fc: bool = False


class Vision(Tower):
    """The tower of images."""

    image_size: Size = 224
    patch_size: Size | None = 16
    head_width: Count = 64
    patch_dropout: Number = 0
    attentional_pool: bool | Word = False
    attn_pooler_queries: Count = 256
    attn_pooler_heads: Count = 8
    no_ln_pre: bool = False
    pos_embed_type: Word = "learnable"
    timm_model_name: Annotated[str, Field(pattern=r"^\w{1,80}(\.\w{1,40})?$")] | None = None
    timm_model_pretrained: bool = False
    timm_pool: Word | None = None
    timm_proj: Word | None = None
    timm_proj_bias: bool = False
    timm_drop: Number = 0
    timm_drop_path: Number | None = None


class Text(Tower):
    """The tower of texts."""

    context_length: Count = 77
    vocab_size: Count = 49408
    heads: Count = 8
    embed_cls: bool = False
    pad_id: Count = 0
    eos_id: Count = 2
    no_causal_mask: bool = False
    proj_bias: bool = False
    proj_type: Word | None = None
    hf_tokenizer_name: Annotated[str, Field(max_length=200)] | None = None  # says that the folder has a tokenizer
    tokenizer_mode: Literal["", "clips"] | None = None
    tokenizer_kwargs: TokenizerOptions | None = None
    hf_model_name: str | None = None
    hf_model_pretrained: bool = False
    hf_proj_type: Word | None = None
    hf_pooler_type: Word | None = None

    @field_validator("hf_model_name")
    @classmethod
    def _model_is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in text_models():
            raise ValueError(f"the text models that are known are {', '.join(sorted(text_models()))}")
        return name


class Multimodal(Text):
    """The decoder of CoCa."""

    dim_head: Count = 64
    n_queries: Count = 256
    attn_pooler_heads: Count = 8


class Model(ConfigPart):
    """The architecture."""

    embed_dim: Count
    vision_cfg: Vision
    text_cfg: Text
    multimodal_cfg: Multimodal | None = None
    quick_gelu: bool = False
    custom_text: bool = False
    init_logit_scale: Number = 0
    init_logit_bias: Number | None = None
    nonscalar_logit_scale: bool = False
    output_dict: bool = False
    pad_id: Count = 0


class Preprocessing(ConfigPart):
    """How images are shaped and normalised."""

    size: Size | None = None
    mode: Literal["RGB"] = "RGB"
    mean: Annotated[list[Number], Field(max_length=3)] | None = None
    std: Annotated[list[Number], Field(max_length=3)] | None = None
    interpolation: Word | None = None
    resize_mode: Word | None = None
    fill_color: Count | None = None


class Config(BaseModel):
    """open_clip_config.json. What else stands beside these two is not read."""

    model_config = ConfigDict(strict=True)

    model_cfg: Model
    preprocess_cfg: Preprocessing = Preprocessing()


@cache
def text_models() -> set[str]:
    """The text models of the hub that open_clip's own architectures are made of, and BiomedCLIP's."""
    import open_clip

    texts = ((open_clip.get_model_config(name) or {})["text_cfg"] for name in open_clip.list_models())
    return {BIOMED, *(text["hf_model_name"] for text in texts if text.get("hf_model_name"))}


def check(folder: Path) -> Config:
    """Read and check the configuration of a model folder, and of its tokenizer where it has one.

    Raises:
        InputError: a key is not known or its value is out of bounds, or the tokenizer names code or another place.
    """
    path = folder / CONFIG
    try:
        config = Config.model_validate(_read(path))
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"embed.path: {path}: {key}: {fault['msg']} (given: {str(fault['input'])[:80]!r}); Winnow "
            "loads no model whose configuration it does not know"
        ) from error
    if config.model_cfg.text_cfg.hf_tokenizer_name:
        for name in TOKENIZER:
            if (folder / name).exists():
                _check_tokenizer(folder / name, _read(folder / name))
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except InputError as error:
        raise InputError(f"embed.path: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"embed.path: {path} holds no JSON object")
    return value


def _check_tokenizer(path: Path, told: dict[str, Any]) -> None:
    """Refuse a tokenizer's configuration that names code, or a file outside its folder."""
    for key in ("auto_map", "custom_pipelines", "init_inputs"):
        if told.get(key):
            raise InputError(
                f"embed.path: {path} has `{key}`: the code or arguments of a model folder are not used; "
                "take a folder without"
            )
    kind = told.get("tokenizer_class")
    if kind is not None and not (isinstance(kind, str) and CLASS.fullmatch(kind)):
        raise InputError(f"embed.path: {path}: tokenizer_class is {str(kind)[:80]!r}, no tokenizer of transformers")
    for key, value in told.items():
        for name in value if isinstance(value, list) else [value]:
            if PATH_KEY.search(key) and isinstance(name, str) and _is_outside(path.parent, name):
                raise InputError(f"embed.path: {path}: {key} names {name[:80]!r}, which is outside the folder")


def _is_outside(folder: Path, name: str) -> bool:
    """Whether a name leads to something outside a folder. Authors' own paths, which lead nowhere here, do no harm."""
    try:
        found = folder / name
        return found.exists() and not found.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):
        return False
