"""How many cores there are, also where the system does not say which of them are this process's."""

import os

import pytest

from winnow.compute import device


def test_cores_are_those_of_this_process() -> None:
    assert device.cores() == len(os.sched_getaffinity(0))


def test_a_system_without_affinity_counts_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert device.cores() == os.cpu_count()
