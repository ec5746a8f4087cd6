"""Checkpoints of other scripts, made by transformers: text stands while it is spoken, none of it is turned around."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from streaming_asr import Final, GateOptions, Latency, Partial, Recognizer
from streaming_asr.events import Event, text_of
from streaming_asr.scripts import columns, joined_texts, stands_alone
from tests.conftest import TinyModel

LETTERS = {
    "zh": "东京大学生的人",
    "ja": "東京タワーにいく",
    "th": "กครสวดีัิ่",
    "ar": "\u0627\u0644\u0645\u0631\u062d\u0628\u064e\u0651",
    "he": "\u05e9\u05dc\u05d5\u05dd\u05e2\u05dc\u05dd"[:6] + "\u05d0",
}
WITHOUT_SPACES = ("zh", "ja", "th")

Load: TypeAlias = Callable[[str], Recognizer]


@pytest.fixture
def load(tiny_model: TinyModel, tmp_path: Path) -> Iterator[Load]:
    """Loads a small random checkpoint of a language, without a delimiter: its text is one long word."""
    opened: list[Recognizer] = []

    def make(language: str) -> Recognizer:
        letters = list(dict.fromkeys(LETTERS[language]))
        vocabulary = {token: row for row, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *letters])}
        tiny_model("wav2vec2", "layer", vocab_size=len(vocabulary)).save_pretrained(tmp_path)
        for name, content in (("vocab", vocabulary), ("preprocessor_config", {"do_normalize": False})):
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        opened.append(Recognizer.load(tmp_path, language=language, precision="float64"))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for recognizer in opened:
        recognizer.close()


def heard(recognizer: Recognizer, **options: object) -> list[Event]:
    audio = np.random.default_rng(5).normal(0.0, 0.2, 6_000).astype(np.float32)
    latency = Latency(chunk_ms=40, lookahead_ms=20, left_ms=100, sink_ms=0)
    stream = recognizer.stream(
        sample_rate=16_000,
        latency=latency,
        gate=GateOptions(enabled=False),
        **{"beam_width": 4, **options},  # type: ignore[arg-type]
    )
    return [event for piece in np.array_split(audio, 7) for event in stream.push(piece)] + stream.finish()


@pytest.mark.parametrize("language", WITHOUT_SPACES)
def test_text_without_spaces_is_committed_while_it_is_spoken(load: Load, language: str) -> None:
    events = heard(load(language), agreement_delay_ms=40)
    partials = [event for event in events if isinstance(event, Partial)]
    finals = [event for event in events if isinstance(event, Final)]
    assert len(finals) == 1
    texts = [*(partial.committed for partial in partials), finals[0].text]
    assert len(set(texts)) > 5
    assert all(after.startswith(before) for before, after in pairwise(texts))
    assert all(partial.text == text_of(partial.words) for partial in partials)
    assert " " not in finals[0].text


@pytest.mark.parametrize("language", WITHOUT_SPACES)
def test_each_character_has_its_time(load: Load, language: str) -> None:
    final = next(event for event in heard(load(language)) if isinstance(event, Final))
    assert len(final.words) > 10
    assert "".join(word.text for word in final.words) == final.text
    assert all(sum(map(stands_alone, word.text)) <= 1 for word in final.words)
    assert all(before.end <= after.start for before, after in pairwise(final.words))


@pytest.mark.parametrize("language", ["ar", "he"])
def test_text_from_right_to_left_is_in_the_order_of_speech(load: Load, language: str) -> None:
    final = next(event for event in heard(load(language), beam_width=1) if isinstance(event, Final))
    assert set(final.text) <= {*LETTERS[language], " "}
    assert not any(word.joined for word in final.words)


def test_a_hotword_is_found_in_a_text_without_spaces(load: Load) -> None:
    recognizer = load("zh")
    plain = next(event for event in heard(recognizer) if isinstance(event, Final))
    favoured = next(event for event in heard(recognizer, hotwords={"东京": 30.0}) if isinstance(event, Final))
    assert favoured.text.count("东京") > plain.text.count("东京")
    with closing(recognizer):
        stream = recognizer.stream(sample_rate=16_000, hotwords=["東京", "东京"])
        assert stream.hotwords.taken == ("东京",)
        assert stream.hotwords.unspellable == {"東京": "東"}


@pytest.mark.parametrize(
    ("character", "alone"),
    [
        *((character, True) for character in "东あアー々กເက"),
        *((character, False) for character in "aéж가\u05d0\u0627' \u0e31\u0e33\u3001"),
    ],
)
def test_which_characters_stand_alone(character: str, alone: bool) -> None:
    assert stands_alone(character) is alone


@pytest.mark.parametrize(("text", "wide"), [("abc", 3), ("东京", 4), ("한국", 4), ("กี่", 1), ("ｱ", 1), ("é", 1)])
def test_how_wide_a_text_is_shown(text: str, wide: int) -> None:
    assert columns(text) == wide


def test_texts_in_a_row() -> None:
    assert joined_texts([("a", False), ("b", False), ("东", True), ("京", True), ("c", False)]) == "a b东京 c"
