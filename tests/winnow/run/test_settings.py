"""Parameters are typed once: what is wrong in params.yaml is named by its key before any work starts."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from winnow.errors import InputError
from winnow.run import settings
from winnow.selection.methods import Recipe

PROJECT = Path(__file__).parents[3]


def load(tmp_path: Path, text: str | bytes) -> settings.Settings:
    (tmp_path / "params.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return settings.load(tmp_path / "params.yaml")


def refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert "params.yaml" in str(error.value)
    return str(error.value)


def test_the_projects_own_parameters_are_good_and_complete() -> None:
    loaded = settings.load(PROJECT / "params.yaml")
    for block in type(loaded).model_fields:
        model = getattr(loaded, block)
        assert model.model_fields_set == set(type(model).model_fields), block


def test_reading_them_waits_for_nothing_that_is_slow_to_import() -> None:
    heavy = {"mlflow", "torch", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "prefect", "dvc", "PIL"}
    code = f"import sys; from winnow.run import settings; settings.load(); print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == settings.Settings()


def test_a_given_value_replaces_its_default_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, "optimize: {keep: 0.3}\nadapt: {lr: 3e-3}")
    assert loaded.optimize == settings.Optimize(keep=0.3)
    assert loaded.adapt.lr == 0.003


def test_the_default_recipe_is_the_published_one() -> None:
    assert Recipe(**settings.Adapt().model_dump()) == Recipe()


@pytest.mark.parametrize(("text", "method"), [("", "winnow"), ("optimize: {method: paper}", "paper")])
def test_the_published_method_is_used_where_it_is_asked_for(tmp_path: Path, text: str, method: str) -> None:
    assert load(tmp_path, text).optimize.method == method


@pytest.mark.parametrize(
    ("text", "model", "path", "pretrained"),
    [
        ("", settings.ARCHITECTURE, None, settings.TAG),
        ("embed: {path: null}", settings.ARCHITECTURE, None, settings.TAG),
        ("embed: {path: weights.safetensors}", settings.ARCHITECTURE, "weights.safetensors", None),
        ("embed: {model: local-dir, path: folder}", "local-dir", "folder", None),
        ("embed: {model: ViT-L-14, pretrained: openai}", "ViT-L-14", None, "openai"),
        ("embed: {source: features, path: folder}", settings.ARCHITECTURE, "folder", None),
    ],
)
def test_an_encoder_may_be_left_out_or_named_in_part(
    tmp_path: Path, text: str, model: str, path: str | None, pretrained: str | None
) -> None:
    embed = load(tmp_path, text).embed
    assert (embed.model, embed.path, embed.pretrained) == (model, path, pretrained)


def test_one_encoder_has_no_key_for_others_in_a_manifest(tmp_path: Path) -> None:
    one, two = load(tmp_path, ""), load(tmp_path, "embed: {others: [{model: 'timm:resnet18', path: w}]}")
    assert "others" not in one.model_dump()["embed"]
    assert two.model_dump()["embed"]["others"][0]["model"] == "timm:resnet18"
    assert [how.pretrained for how in two.embed.encoders] == [settings.TAG, None]


@pytest.mark.parametrize("value", [1, 1.0, 0.001])
def test_the_dial_takes_any_share_above_zero(tmp_path: Path, value: float) -> None:
    assert load(tmp_path, f"optimize: {{keep: {value}}}").optimize.keep == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimise: {keep: 0.3}", ["unknown key optimise"]),
        ("optimize: {kep: 0.3}", ["unknown key optimize.kep"]),
        ("optimize: {keep: 0}", ["optimize.keep", "greater than 0", "given: 0"]),
        ("optimize: {keep: 1.01}", ["optimize.keep", "1.01"]),
        ("optimize: {keep: -0.5}", ["optimize.keep", "-0.5"]),
        ("optimize: {keep: .nan}", ["optimize.keep", "nan"]),
        ("optimize: {keep: '0.3'}", ["optimize.keep", "'0.3'"]),
        ("optimize: {keep: true}", ["optimize.keep", "True"]),
        ("optimize: {keep: null}", ["optimize.keep", "None"]),
        ("optimize: {keep: [0.3]}", ["optimize.keep"]),
        ("optimize: {solver: magic}", ["optimize.solver", "'exact'", "'magic'"]),
        ("optimize: {method: magic}", ["optimize.method", "'winnow'", "'paper'", "'magic'"]),
        ("optimize: {balance: equal}", ["optimize.balance", "'uniform'", "'equal'"]),
        ("optimize:", ["optimize", "None"]),
        ("optimize: {relabel: true, method: paper}", ["optimize", "relabel needs method: winnow"]),
        ("optimize: {relabel: true, max_wrong: 0.01}", ["optimize", "relabel and max_wrong do not go together"]),
        ("base: {seed: -1}", ["base.seed", "-1"]),
        ("evaluate: {seeds: 3.0}", ["evaluate.seeds", "3.0"]),
        ("evaluate: {flip: 1}", ["evaluate.flip", "1"]),
        ("prepare: {max_rejected: 1}", ["prepare.max_rejected", "less than 1"]),
        ("prepare: {source: ''}", ["prepare.source"]),
        ("prepare: {corrections: ~/corrections.csv}", ["prepare.corrections", "write the path in full", "'~/corr"]),
        ("embed: {path: 's3://bucket/weights'}", ["embed.path", "not a URL", "'s3://bucket/weights'"]),
        ("embed: {class_names: 'https://host/names.json'}", ["embed.class_names", "not a URL"]),
        ("evaluate: {checkpoint: ~/weights.pt}", ["evaluate.checkpoint", "write the path in full"]),
        ("embed: {model: ViT-L-14}", ["embed", "name the encoder's weights: path", "pretrained"]),
        ("embed: {pretrained: null}", ["embed", "name the encoder's weights"]),
        ("embed: {source: features}", ["embed", "name the folder of features"]),
        ("embed: {others: [{source: features}]}", ["embed.others.0", "name the folder of features"]),
        ("embed: {others: [{path: x, others: []}]}", ["unknown key embed.others.0.others"]),
        ("{prepare: {damaged: 0.1}, embed: {others: [{source: features, path: x}]}}", ["prepare.damaged must be 0"]),
        ("embed: {prompts: a photo}", ["embed", "'a photo'", "{}"]),
        ("embed: {prompts: 3}", ["embed.prompts", "list"]),
        ("runtime: {runner: ray}", ["runtime.runner", "'local' or 'dask'", "'ray'"]),
        ("embed: {prompts: []}", ["embed.prompts"]),
        ("embed: {prompts: [a photo]}", ["embed", "'a photo'", "{}"]),
        ("embed: {prompts: ['{}', 3]}", ["embed.prompts.1", "3"]),
        ("release: {name: My Subset}", ["release.name", "'My Subset'"]),
        ("prepare: {damaged: 0.1}\nembed: {source: features, path: f}", ["prepare.damaged", "embed.source"]),
        ("- 1", ["valid dictionary"]),
        ("optimize: {keep: 0.3, keep: 0.4}", ["not YAML", "duplicate key", "keep"]),
        ("optimize: {", ["not YAML", "line"]),
        (b"\xff\xfe\x00", ["not YAML"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    message = refusal(tmp_path, text)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "key", ["pretrain.lr", "adapt.lr", "adapt.temperature", "score.neighbours", "evaluate.lr", "optimize.keep"]
)
def test_no_number_may_be_infinite(tmp_path: Path, key: str) -> None:
    block, name = key.split(".")
    assert key in refusal(tmp_path, f"{block}: {{{name}: .inf}}")


def test_every_fault_has_a_line(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "optimize: {keep: 2, kep: 1}\nbase: {seed: x}").splitlines()
    assert len(lines) == 3
    assert all("params.yaml: " in line for line in lines)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run from the top of the project"):
        settings.load(tmp_path / "params.yaml")


def test_parameters_cannot_be_changed_on_the_way() -> None:
    with pytest.raises(ValidationError):
        settings.Settings().optimize.keep = 0.9  # type: ignore[misc]


@pytest.mark.parametrize(
    ("block", "url", "secret"),
    [
        ("prepare: {source", "https://me:hunter2@host/list.csv", "hunter2"),
        ("prepare: {source", "s3://bucket/x?X-Amz-Signature=c0ffee", "c0ffee"),
        ("embed: {path", "https://host/w.safetensors?token=c0ffee", "c0ffee"),
    ],
)
def test_a_secret_is_refused_by_its_key_and_not_repeated(tmp_path: Path, block: str, url: str, secret: str) -> None:
    said = refusal(tmp_path, f"{block}: '{url}'}}")
    assert f"{block.replace(': {', '.')} holds a secret" in said
    assert "in the environment instead" in said
    assert secret not in said
    unknown = refusal(tmp_path, f"prepare: {{sauce: 1}}\nbase: {{seed: '{url}'}}")
    assert "base.seed" in unknown
    assert secret not in unknown
