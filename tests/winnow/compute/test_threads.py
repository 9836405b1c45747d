"""The number of threads that a machine offers changes no byte of what leads to a choice."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import winnow
from winnow.compute import threads
from winnow.features import Features
from winnow.sample import encoder
from winnow.selection import adapt
from winnow.selection.methods import Method, Recipe


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def made_with(count: int, make: Callable[[Path], None], out: Path) -> dict[str, bytes]:
    """Every file that `make` writes where a machine offers so many threads."""
    torch.set_num_threads(count)
    make(out)
    assert torch.get_num_threads() == count
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_the_small_encoder(workdir: Path) -> None:
    def make(out: Path) -> None:
        encoder.run(out, steps=10, batch_size=32, lr=1e-3, seed=0, device="cpu")

    assert made_with(1, make, workdir / "1") == made_with(4, make, workdir / "4")


def test_adapters(workdir: Path, write_features: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    text = rng.normal(size=(20, 512)).astype(np.float32)
    labels = rng.integers(0, 20, 8000)
    image = (text[labels] + 3 * rng.normal(size=(8000, 512))).astype(np.float16)
    classes, ids = [f"class {c}" for c in range(20)], [f"{i}.png" for i in range(8000)]
    folder = write_features(image=image, text=text, labels=labels, classes=classes, ids=ids)

    def make(out: Path) -> None:
        adapt.run(folder, out, Recipe(), method="winnow", seed=0, device="cpu")

    assert made_with(1, make, workdir / "1") == made_with(4, make, workdir / "4")


def test_numpy_and_torch_have_the_fixed_number_in_the_block_and_the_old_one_after_it() -> None:
    from threadpoolctl import threadpool_info

    def blas() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before = blas()
    torch.set_num_threads(1)
    with threads.fixed():
        assert (torch.get_num_threads(), blas()) == (threads.THREADS, {threads.THREADS})
    assert (torch.get_num_threads(), blas()) == (1, before)


@pytest.mark.parametrize("method", ["winnow", "paper"])
def test_modes_of_torch_that_the_caller_set_change_nothing(planted: Features, method: Method) -> None:
    def table() -> pd.DataFrame:
        given = planted.image, planted.labels, planted.text
        return winnow.select(*given, keep=0.3, method=method, solver="gradient", device="cpu")

    expected = table()
    for mode in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu"), torch.device("meta")):
        with mode:
            pd.testing.assert_frame_equal(table(), expected)
    torch.set_default_dtype(torch.float64)
    try:
        pd.testing.assert_frame_equal(table(), expected)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_calls_in_several_threads_run_one_after_another() -> None:
    inside, most = [0], [0]

    def work(_: int) -> None:
        with threads.fixed(), threads.fixed():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert most == [1]


class Selecting(Dataset[str]):
    """A data set that selects in a worker."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, row: int) -> str:
        try:
            with threads.fixed():
                return "computed"
        except winnow.WorkError as error:
            return str(error)


def test_a_forked_process_is_refused_where_it_would_hang() -> None:
    with threads.fixed():
        pass
    [[said]] = DataLoader(Selecting(), num_workers=1, multiprocessing_context="fork", timeout=60)
    assert "cannot select or score in a process forked" in said
