"""`import winnow`: the same choice for whatever holds the same features, examples that run, and data sets cut down."""

import doctest
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset as HubDataset
from support import ROOT
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchvision.datasets import ImageFolder

import winnow
from winnow.features import Features
from winnow.releases.manifest import Release
from winnow.run.settings import Settings

Write = Callable[..., Path]
FUNCTIONS = [getattr(winnow, name) for name in winnow.__all__ if inspect.isfunction(getattr(winnow, name))]
METHODS = [Release.ids, Release.verify, Release.export, Release.diff]
HEAVY = {"torch", "pandas", "numpy", "pyarrow", "scipy", "sklearn", "pydantic", "rich", "typer"}
PIPELINE = {"prefect", "dvc", "mlflow"}


def loaded(code: str, *arguments: object) -> set[str]:
    """The packages that a program has loaded at its end."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_winnow_loads_nothing_else() -> None:
    assert loaded("import winnow; winnow.__version__; dir(winnow)") & (HEAVY | PIPELINE) == set()


def test_selecting_loads_no_pipeline(write_features: Write) -> None:
    got = loaded("import sys, winnow; winnow.select(sys.argv[1], keep=0.3)", write_features())
    assert "torch" in got
    assert got & {*PIPELINE, "sklearn", "matplotlib", "torchvision"} == set()


def test_every_public_name_is_there_documented_and_seen_by_editors() -> None:
    assert set(winnow.__all__) <= set(dir(winnow))
    assert all(getattr(winnow, name).__doc__ for name in winnow.__all__)
    assert len(FUNCTIONS) == 5
    assert (Path(winnow.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'selekt'"):
        winnow.selekt  # noqa: B018


def test_type_checkers_know_the_public_names(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import winnow\nreveal_type(winnow.select)\nreveal_type(winnow.Release.verify)\nwinnow.selekt\n")
    command = [sys.executable, "-m", "mypy", "--config-file", os.devnull, "--follow-imports", "silent", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "keep: float" in done.stdout
    assert "DataFrame" in done.stdout
    assert "list[winnow.releases.verify.Fault]" in done.stdout
    assert 'Module has no attribute "selekt"' in done.stdout


@pytest.mark.parametrize("public", [*FUNCTIONS, *METHODS], ids=lambda public: getattr(public, "__qualname__", "ids"))
def test_the_example_of_each_public_function_is_true(
    public: object, released: Path, write_features: Write, workdir: Path
) -> None:
    write_features()
    assert workdir.samefile(released.parents[1])
    names = {"winnow": winnow, "np": np, "torch": torch}
    [example] = doctest.DocTestFinder(recurse=False).find(public, "example", globs=names)
    assert len(example.examples) >= 1
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert result.failed == 0, "".join(said)


def test_defaults_are_the_same_in_python_the_command_and_params_yaml() -> None:
    from winnow.cli import main

    settings = {**Settings().base.model_dump(), **Settings().score.model_dump(), **Settings().optimize.model_dump()}
    for function, command in ((winnow.select, main.select), (winnow.score, main.score)):
        python = {name: one.default for name, one in inspect.signature(function).parameters.items()}
        shell = {name: one.default for name, one in inspect.signature(command).parameters.items()}
        shared = [name for name in python if name in settings and name != "keep"]
        assert len(shared) >= 3
        for name in shared:
            assert python[name] == shell[name] == settings[name], name
            said = re.search(
                rf"^ +{name}: (.*?)^    (?! )", str(inspect.getdoc(function)), re.M | re.S
            )  # as any Python keeps it
            assert said
            assert str(python[name]) in said[1], "the docstring says it too, since editors show a constant"
    assert inspect.signature(winnow.select).parameters["keep"].default is inspect.Parameter.empty


def column(rows: np.ndarray) -> pd.Series:
    return pd.Series(list(rows), index=np.arange(len(rows))[::-1])


IMAGES: dict[str, Callable[[np.ndarray], object]] = {
    "array": np.array,
    "fortran": np.asfortranarray,
    "double": lambda rows: rows.astype(np.float64),
    "read only": lambda rows: np.frombuffer(rows.tobytes(), rows.dtype).reshape(rows.shape),
    "list": lambda rows: rows.tolist(),
    "list of arrays": list,
    "list of tensors": lambda rows: list(torch.from_numpy(rows)),
    "tensor": torch.from_numpy,
    "tensor with a gradient": lambda rows: torch.from_numpy(rows).requires_grad_(),
    "column of arrays": column,
    "column of lists": lambda rows: column(rows).map(list),
    "frame": lambda rows: pd.DataFrame(rows, index=np.arange(len(rows))[::-1]),
    "masked": np.ma.array,
}


@pytest.fixture(scope="module")
def expected(planted: Features) -> pd.DataFrame:
    return winnow.select(
        planted.image, planted.labels, planted.text, classes=planted.classes, ids=planted.ids, keep=0.3
    )


@pytest.mark.parametrize("kind", IMAGES)
def test_what_holds_the_same_features_gives_the_same_table(
    planted: Features, expected: pd.DataFrame, kind: str
) -> None:
    image = IMAGES[kind](planted.image)
    got = winnow.select(image, planted.labels, planted.text, classes=planted.classes, ids=planted.ids, keep=0.3)
    pd.testing.assert_frame_equal(got, expected)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_tensors_of_half_precision_are_read_as_they_are(planted: Features, kind: torch.dtype) -> None:
    image = torch.from_numpy(planted.image).to(kind)
    got = winnow.score(image, planted.labels, planted.text)
    pd.testing.assert_frame_equal(got, winnow.score(image.float().numpy(), planted.labels, planted.text))


@pytest.mark.parametrize(
    "labels",
    [
        lambda data: data.labels.astype(np.uint8),
        lambda data: data.labels.tolist(),
        lambda data: torch.from_numpy(data.labels),
        lambda data: pd.Series(data.labels, dtype="Int64"),
        lambda data: [data.classes[c] for c in data.labels],
        lambda data: np.array(data.classes)[data.labels],
        lambda data: pd.Series(np.array(data.classes)[data.labels]),
        lambda data: pd.Series(np.array(data.classes)[data.labels], dtype="category"),
        lambda data: pd.Categorical(np.array(data.classes)[data.labels]),
    ],
)
def test_labels_are_indices_or_names(
    planted: Features, expected: pd.DataFrame, labels: Callable[[Features], object]
) -> None:
    given = labels(planted)
    got = winnow.select(planted.image, given, planted.text, classes=planted.classes, ids=planted.ids, keep=0.3)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(got, expected)


def test_a_folder_features_and_the_command_give_the_same_table(
    write_features: Write, planted: Features, expected: pd.DataFrame, tmp_path: Path
) -> None:
    folder, out = write_features(), tmp_path / "subset.parquet"
    pd.testing.assert_frame_equal(winnow.select(folder, keep=0.3), expected)
    pd.testing.assert_frame_equal(winnow.select(str(folder), keep=0.3), expected)
    pd.testing.assert_frame_equal(winnow.select(winnow.load_features(folder), keep=0.3), expected)
    command = [sys.executable, "-m", "winnow.cli.main", "select", folder, "--keep", "0.3", "--out", out]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    pd.testing.assert_frame_equal(pd.read_parquet(out), expected)


def test_parts_of_a_folder_can_be_replaced(write_features: Write, planted: Features) -> None:
    labels = np.array(planted.classes)[np.roll(planted.labels, 1)]
    table = winnow.score(write_features(), labels, ids=range(300))
    assert table["class_name"].tolist() == labels.tolist()
    assert table["id"].tolist() == [str(row) for row in range(300)]


def test_names_without_classes_are_sorted_and_ids_are_made(planted: Features) -> None:
    names = [planted.classes[c] for c in planted.labels]
    table = winnow.score(planted.image, names, planted.text)
    assert table["class_name"].tolist() == names
    assert table["label"].tolist() == planted.labels.tolist()
    assert table["id"].iloc[[0, -1]].tolist() == ["00000000", "00000299"]
    assert winnow.score(planted.image, planted.labels, planted.text)["class_name"].iloc[0] == str(planted.labels[0])


def test_nothing_that_was_given_is_changed(planted: Features) -> None:
    given = planted.image.copy(), planted.labels.copy(), planted.text.copy()
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    winnow.select(*given, keep=0.3, method="paper", drop_near_duplicates=True)
    for before, after in zip((planted.image, planted.labels, planted.text), given, strict=True):
        assert (before == after).all()
    assert torch.get_num_threads() == threads
    assert (torch.random.get_rng_state() == state).all()


class Photos(Dataset[int]):
    """A data set whose samples are their numbers, with ids or without."""

    def __init__(self, n: int, ids: object = None) -> None:
        self.n, self.ids = n, ids

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: int) -> int:
        return row


TABLE = pd.DataFrame({"id": ["c", "a", "b", "d"], "selected": [True, False, True, True]}, index=[9, 8, 7, 6])


def test_a_data_set_is_cut_by_row_or_by_id() -> None:
    assert list(winnow.subset(Photos(4), TABLE)) == [0, 2, 3]
    assert list(winnow.subset(Photos(4, ["a", "b", "c", "d"]), TABLE)) == [2, 1, 3]
    assert list(winnow.subset(Photos(6, np.array(list("xdycba"))), TABLE)) == [3, 4, 1], "it holds others too"
    assert list(winnow.subset(Photos(4, [1, 2, 3, 4]), TABLE)) == [0, 2, 3], "none of the ids: by row"
    assert list(winnow.subset(Photos(3, ["b", "c", "d"]), TABLE)) == [1, 0, 2], "what was dropped is not needed"


def test_a_data_set_of_the_hub_and_tensors_go_into_a_loader() -> None:
    hub = HubDataset.from_dict({"id": ["d", "c", "b", "a"], "x": [1, 2, 3, 4]})
    assert [row["x"] for row in winnow.subset(hub, TABLE)] == [2, 3, 1]
    assert list(winnow.subset(["c", "a", "b", "d"], TABLE)) == ["c", "b", "d"]
    loader = DataLoader(winnow.subset(TensorDataset(torch.arange(4)), TABLE), batch_size=3)
    assert next(iter(loader))[0].tolist() == [0, 2, 3]


def test_an_image_folder_is_cut_by_the_ids_of_a_release(released: Path) -> None:
    release = winnow.open_release(released)
    folder = ImageFolder("originals")
    kept = winnow.subset(folder, release)
    assert len(kept) == len(release.ids) == 16 < len(folder)
    paths = [Path(folder.samples[i][0]).relative_to("originals").as_posix() for i in kept.indices]
    assert sorted(paths) == release.ids


class Stream(IterableDataset[int]):
    """A data set without rows that can be asked for."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(4))


@pytest.mark.parametrize(
    ("dataset", "table", "words"),
    [
        (Photos(5), TABLE, "dataset has 5 samples and table 4 rows"),
        (Photos(3, ["a", "b", "c"]), TABLE, "dataset has no sample 'd'; 1 of those selected are missing"),
        (Photos(4, ["a", "a", "c", "d"]), TABLE, "dataset: the id 'a' occurs twice"),
        (Photos(4), TABLE.drop(columns="selected"), "table has no column 'selected'"),
        (Photos(4), TABLE.astype({"selected": str}), "table has a column 'selected' of str"),
        (Photos(4), [1, 2], "table is list"),
        (Stream(), TABLE, "dataset is Stream, which has no length"),
    ],
)
def test_a_data_set_that_does_not_fit_the_table_is_refused(dataset: object, table: object, words: str) -> None:
    with pytest.raises(winnow.InputError, match=words):
        winnow.subset(dataset, table)  # type: ignore[arg-type]


def test_a_release_is_read_verified_compared_and_exported(released: Path, workdir: Path) -> None:
    release = winnow.open_release(str(released))
    assert release.ids == (released / "ids.txt").read_text().splitlines()
    assert release.verify() == []
    assert release.diff(release)["samples"]["kept_by_both"] == 16
    assert release.export("list", "ids") == 16
    assert (workdir / "list/ids.txt").read_text().splitlines() == release.ids
    (released / "card.md").write_text("other")
    assert [fault.where for fault in release.verify()] == ["card.md"]


@pytest.mark.parametrize("read", [winnow.open_release, winnow.load_features])
@pytest.mark.parametrize("folder", [3, None])
def test_a_folder_is_a_path(read: Callable[[object], object], folder: object) -> None:
    with pytest.raises(winnow.InputError, match=f"folder is {folder}: it must be a path"):
        read(folder)


def test_a_release_refuses_what_it_cannot_export(released: Path) -> None:
    release = winnow.open_release(released)
    with pytest.raises(winnow.InputError, match=r"format is 'imagefoldr': .*did you mean 'imagefolder'"):
        release.export("out", "imagefoldr")  # type: ignore[arg-type]
    with pytest.raises(winnow.InputError, match="link is for imagefolder"):
        release.export("out", "ids", link="originals")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda release: release.export(3, "ids"), "out is 3: it must be a path"),
        (lambda release: release.export("out", "ids", images=3), "images is 3: it must be a path"),
        (lambda release: release.export("out", "imagefolder", link=3), "link is 3: it must be a path"),
        (lambda release: release.export("out", "ids", test="no"), "test is 'no': it must be True or False"),
        (lambda release: release.verify(images=3), "images is 3: it must be a path"),
        (lambda release: release.diff(None), "other is None: it must be a release, or the path of one"),
        (lambda release: release.diff(3), "other is 3: it must be a release, or the path of one"),
    ],
)
def test_a_release_refuses_arguments_of_another_kind(
    use: Callable[[Release], object], message: str, released: Path, workdir: Path
) -> None:
    with pytest.raises(winnow.InputError, match=f"^{re.escape(message)}"):
        use(winnow.open_release(released))
    assert not (workdir / "out").exists()


def test_the_page_on_python_is_true(encoder: Path, planted: Features, image_folder: Path, workdir: Path) -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    first, second = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    rows = TensorDataset(torch.arange(len(planted.labels)))
    names = {"image": planted.image, "labels": planted.labels, "text": planted.text, "classes": planted.classes}
    names |= {"dataset": rows}
    exec(first, names)  # noqa: S102
    assert len(names["train"]) == 90  # type: ignore[arg-type]
    # Without a network, with the bundled encoder.
    assert second.count('"ViT-B-32"') == 2
    local = second.replace('"ViT-B-32", pretrained="laion2b_s34b_b79k"', f'"local-dir:{encoder}"')
    local = local.replace('"ViT-B-32"', f'"local-dir:{encoder}"')
    image_folder.rename(workdir / "photos-30")
    exec(local.replace('"photos"', '"photos-30"'), names)  # noqa: S102
    table = names["table"]
    assert isinstance(table, pd.DataFrame)
    assert (len(table), table["selected"].sum(), set(table["class_name"])) == (30, 9, {"blue", "green", "red"})
    for name in winnow.__all__:
        assert f"heading: winnow.{name}\n" in page
