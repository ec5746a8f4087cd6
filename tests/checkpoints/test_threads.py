"""A small model steps on one thread; whatever is larger, or not known, has as many as torch takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming_asr.checkpoints import threads
from streaming_asr.checkpoints.threads import usual_threads
from tests.checkpoints.checkpoint_folders import write_checkpoint


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


@pytest.fixture(autouse=True)
def nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_the_embedded_model_has_one_thread() -> None:
    assert usual_threads([None]) == 1
    assert usual_threads([None, None]) == 1


def test_a_large_model_has_all_and_so_have_small_ones_beside_it(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_threads([tiny]) == 1
    monkeypatch.setattr(threads, "SMALL_MODEL_PARAMETERS", 1000)
    assert usual_threads([tiny]) is None
    assert usual_threads([None, tiny]) is None


def test_what_is_not_on_this_machine_has_all(tmp_path: Path) -> None:
    assert usual_threads(["facebook/wav2vec2-base-960h"]) is None
    assert usual_threads([tmp_path]) is None


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert usual_threads([None]) is None
