"""How many threads the models of a server get."""

from __future__ import annotations

import os

import pytest
import torch
from streaming_asr_server.loading import load_recognition, threads_of
from streaming_asr_server.model_settings import ModelSettings
from streaming_asr_server.settings import Settings

ELSEWHERE = "facebook/wav2vec2-base-960h"


@pytest.fixture(autouse=True)
def nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_a_small_model_has_one_thread_unless_told_otherwise() -> None:
    assert threads_of(Settings()) == 1
    assert threads_of(Settings(), cores=8) == 1
    assert threads_of(Settings(threads=3)) == 3


def test_a_larger_model_has_the_cores_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert threads_of(Settings(model=ELSEWHERE)) is None
    assert threads_of(Settings(model=ELSEWHERE, workers=4)) == 3
    assert threads_of(Settings(model=ELSEWHERE, workers=40)) == 1
    assert threads_of(Settings(model=ELSEWHERE), cores=5) == 5


def test_one_larger_model_among_several_counts() -> None:
    small, large = ModelSettings(name="small"), ModelSettings(name="large", model=ELSEWHERE)
    assert threads_of(Settings(models=(small,)), cores=8) == 1
    assert threads_of(Settings(models=(small, large)), cores=8) == 8


def test_a_server_loads_its_model_with_them() -> None:
    before = torch.get_num_threads()
    try:
        load_recognition(Settings(threads=2))
        assert torch.get_num_threads() == 2
        load_recognition(Settings())
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
