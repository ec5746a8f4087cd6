from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from training.configuration import Configuration
from training.phones import Phones
from training.train import learnt_phones, train

from .test_train import configuration

__all__ = ["configuration"]

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs the command espeak-ng")


@needs_espeak
def test_words_that_sound_alike_have_the_same_phones() -> None:
    phones = Phones.of(["THEIR NIGHT THROUGH", "THERE KNIGHT THREW IT"])
    assert phones.rows["NIGHT"] == phones.rows["KNIGHT"]
    assert phones.rows["THROUGH"] == phones.rows["THREW"]
    assert [phones.names[row] for row in phones.rows["NIGHT"]] == ["n", "aI", "t"]
    assert not any(set(rows) & {0, 1} for rows in phones.rows.values())
    assert phones.encode("THREW IT") == [*phones.rows["THREW"], 1, *phones.rows["IT"]]


@needs_espeak
def test_a_network_learns_phones_that_its_folder_knows_nothing_of(configuration: Configuration) -> None:
    learning = replace(configuration, objective=replace(configuration.objective, intermediate_phones=True))
    phones = learnt_phones(learning)
    assert phones is not None
    names = load_file(train(learning, progress=False) / "model.safetensors")
    assert not any("phone" in name for name in names)
    assert "lm_head.weight" in names


def test_without_espeak_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt install espeak-ng"):
        Phones.of(["A WORD"])
