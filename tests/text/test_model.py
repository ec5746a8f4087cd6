"""Words in, probabilities of marks and cases out, one word at a time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streaming_asr.errors import CheckpointError
from streaming_asr.text.features import PAUSES, pause_class, piece_rows
from streaming_asr.text.model import CONFIG_FILE, WEIGHTS_FILE, TextModel
from tests.text.conftest import random_model


def test_probabilities_sum_to_one(model: TextModel) -> None:
    reading = model.read(model.initial_state, "twenty", 1)
    later = model.read(reading.state, "six", 2)
    for judged in (model.judge(reading, pause=3), model.judge(reading, later, 1)):
        assert judged.marks.sum() == pytest.approx(1)
        assert judged.cases.sum() == pytest.approx(1)


def test_a_reading_depends_on_what_was_read_before(model: TextModel) -> None:
    first = model.read(model.initial_state, "one")
    assert not np.allclose(model.read(first.state, "six").output, model.read(model.initial_state, "six").output)


def test_words_that_nobody_listed_are_told_apart_by_their_spelling(model: TextModel) -> None:
    one, other = (model.read(model.initial_state, word).output for word in ("unlisted", "unheard"))
    assert not np.allclose(one, other)


def test_a_pause_is_heard(model: TextModel) -> None:
    one, other = (model.read(model.initial_state, "one", pause).output for pause in (1, 5))
    assert not np.allclose(one, other)


def test_pauses_fall_into_classes() -> None:
    assert pause_class(None) == 0
    assert pause_class(0.0) == 1
    assert pause_class(60.0) == PAUSES - 1


def test_pieces_of_a_word_have_rows_within_the_table() -> None:
    assert all(0 <= row < 50 for row in piece_rows("a", 50) + piece_rows("marvellously", 50))


@pytest.mark.parametrize("spoiled", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_folder_that_holds_no_text_model_is_refused(tmp_path: Path, spoiled: str) -> None:
    random_model(tmp_path)
    (tmp_path / spoiled).write_bytes(b"no")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        TextModel.load(tmp_path)


def test_a_model_of_another_format_is_refused(tmp_path: Path) -> None:
    random_model(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"format": 2}))
    with pytest.raises(CheckpointError, match="format 1"):
        TextModel.load(tmp_path)
