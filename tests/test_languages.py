"""A language for each stream: one encoder, many languages, each stream as if it were alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from streaming_asr import CheckpointError, Final, GateOptions, Latency, OptionError, Recognizer
from streaming_asr.audio.samples import Samples
from tests.conftest import MMS_LETTERS

OPTIONS = {
    "latency": Latency(chunk_ms=40, lookahead_ms=20, left_ms=100, sink_ms=0),
    "gate": GateOptions(enabled=False),
    "beam_width": 4,
}
ARPA = (
    "\\data\\\nngram 1=3\nngram 2=1\n\n\\1-grams:\n-1.0\t<s>\t0\n-1.0\t</s>\n-0.5\tab\t0\n\n"
    "\\2-grams:\n-0.3\t<s> ab\n\n\\end\\\n"
)


@pytest.fixture
def recognizer(mms: Path) -> Iterator[Recognizer]:
    with load(mms, languages=["fra", "de"], language="eng") as recognizer:
        yield recognizer


def load(folder: Path, **options: object) -> Recognizer:
    return Recognizer.load(folder, precision="float64", **options)  # type: ignore[arg-type]


def noise(seed: int) -> Samples:
    return np.random.default_rng(seed).normal(0.0, 0.2, 8_000).astype(np.float32)


def said(recognizer: Recognizer, audio: Samples, language: str | None = None) -> list[str]:
    stream = recognizer.stream(sample_rate=16_000, language=language, **OPTIONS)  # type: ignore[arg-type]
    events = [event for piece in np.array_split(audio, 7) for event in stream.push(piece)] + stream.finish()
    return [event.text for event in events if isinstance(event, Final)]


def test_streams_of_many_languages_say_what_each_says_alone(recognizer: Recognizer, mms: Path) -> None:
    spoken = [code for code in MMS_LETTERS for _ in range(3)]
    together: dict[int, list[str]] = {}

    def run(number: int) -> None:
        together[number] = said(recognizer, noise(number), spoken[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(spoken))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recognizer.engine.load.largest > 1
    alone: dict[int, list[str]] = {}
    for code in MMS_LETTERS:
        with load(mms, language=code) as single:
            alone |= {number: said(single, noise(number)) for number, one in enumerate(spoken) if one == code}
    assert together == alone
    assert all("".join(together[number]) for number in together)
    assert set("".join("".join(together[number]) for number in (3, 4, 5))) & set("éàçê")


def test_a_language_has_its_own_alphabet_and_hotwords(recognizer: Recognizer) -> None:
    for code, spelled in (("fra", True), ("deu", False), (None, False)):
        stream = recognizer.stream(sample_rate=16_000, language=code, hotwords=["çà"])
        assert bool(stream.hotwords.taken) is spelled


def test_languages_may_be_named_by_any_code(recognizer: Recognizer) -> None:
    assert recognizer.language == "eng"
    assert recognizer.languages.codes == ("eng", "fra", "deu")
    for code in ("fra", "fr", "fr-CA"):
        assert recognizer.languages.get(code).code == "fra"


def test_what_is_not_there_is_refused_with_the_list_of_what_is(recognizer: Recognizer, mms: Path) -> None:
    with pytest.raises(OptionError, match="language is 'es'; it must be one of eng, fra, deu"):
        recognizer.stream(sample_rate=16_000, language="es")
    with pytest.raises(CheckpointError, match="no language 'es'; it has deu, eng, fra"):
        load(mms, languages=["eng", "es"])
    with pytest.raises(OptionError, match="maximum_languages is 0"):
        load(mms, languages="all", maximum_languages=0)


def test_languages_are_loaded_when_asked_for_and_the_least_recently_used_are_let_go(mms: Path) -> None:
    with load(mms, languages="all", maximum_languages=1) as recognizer:
        assert list(recognizer.languages.held) == []
        french = said(recognizer, noise(1), "fra")
        assert list(recognizer.languages.held) == ["fra"]
        opened = recognizer.stream(sample_rate=16_000, language="fra", **OPTIONS)  # type: ignore[arg-type]
        said(recognizer, noise(1), "deu")
        assert list(recognizer.languages.held) == ["deu"]
        events = opened.push(noise(1)) + opened.finish()
        assert [event.text for event in events if isinstance(event, Final)] == french
        assert said(recognizer, noise(1), "fra") == french
        assert list(recognizer.languages.held) == ["fra"]


def test_one_broken_language_leaves_the_others_unmoved(mms: Path, tmp_path: Path) -> None:
    for file in mms.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with load(tmp_path, languages="all") as recognizer:
        french = said(recognizer, noise(2), "fra")
        whole = (tmp_path / "adapter.deu.safetensors").read_bytes()
        (tmp_path / "adapter.deu.safetensors").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match=r"adapter\.deu\.safetensors: is truncated"):
            recognizer.stream(sample_rate=16_000, language="deu")
        assert said(recognizer, noise(2), "fra") == french
        (tmp_path / "adapter.deu.safetensors").write_bytes(whole)
        assert said(recognizer, noise(2), "deu")


def test_a_language_model_belongs_to_its_language(mms: Path, tmp_path: Path) -> None:
    (tmp_path / "words.arpa").write_text(ARPA)
    with load(mms, languages="all", language_model={"fr": tmp_path / "words.arpa"}) as recognizer:
        assert recognizer.languages.get("fra").language_model is not None
        assert recognizer.languages.get("deu").language_model is None
        assert recognizer.languages.default.language_model is None


def test_of_many_languages_each_may_bring_its_language_model(mms: Path, tmp_path: Path) -> None:
    for file in mms.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "language_model" / "deu").mkdir(parents=True)
    (tmp_path / "language_model" / "deu" / "words.arpa").write_text(ARPA)
    with load(tmp_path, languages="all") as recognizer:
        assert recognizer.languages.get("deu").language_model is not None
        assert recognizer.languages.get("fra").language_model is None


def test_the_embedded_model_is_english() -> None:
    with Recognizer.load(language="en", language_model=None) as recognizer:
        assert recognizer.language == "en"
        recognizer.stream(sample_rate=16_000, language="en-GB")
        with pytest.raises(OptionError, match="language is 'fr'; it must be one of en"):
            recognizer.stream(sample_rate=16_000, language="fr")


def test_threads_that_ask_for_one_language_load_it_once(mms: Path) -> None:
    with load(mms, languages="all") as recognizer:
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(recognizer.languages.get("fra"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_codes_are_told_in_the_order_in_which_they_were_named(mms: Path) -> None:
    names: Sequence[str] = ("deu", "eng")
    with load(mms, languages=names) as recognizer:
        assert (recognizer.language, recognizer.languages.codes) == ("deu", ("deu", "eng"))
