"""What a Deepgram query means, and the little that it must not say."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.adapter.interface import AudioFormat
from streaming_asr_server.protocols.deepgram.options import Listen, UnusableQueryError, parse

from streaming_asr.text import FormatOptions


def listen(query: str) -> Listen:
    return parse(parse_qsl(query, keep_blank_values=True))


RAW = "encoding=linear16&sample_rate=16000"


def test_without_an_encoding_the_audio_is_a_container() -> None:
    assert listen("model=nova-3").audio == AudioFormat("container")


@pytest.mark.parametrize(
    ("query", "audio"),
    [
        ("encoding=linear16&sample_rate=16000", AudioFormat("linear16", 16_000)),
        ("encoding=linear32&sample_rate=44100&channels=2", AudioFormat("float32", 44_100, 2)),
        ("encoding=mulaw&sample_rate=8000", AudioFormat("mulaw", 8_000)),
        ("encoding=alaw&sample_rate=8000", AudioFormat("alaw", 8_000)),
        ("encoding=opus&sample_rate=48000", AudioFormat("opus", 48_000)),
        ("encoding=ogg-opus", AudioFormat("container", 48_000)),
        ("encoding=flac", AudioFormat("container", 48_000)),
        (f"{RAW}&channels=2&multichannel=true", AudioFormat("linear16", 16_000, 2, separate=True)),
        (f"{RAW}&channels=1&multichannel=false", AudioFormat("linear16", 16_000, 1, separate=False)),
        ("encoding=LINEAR16&sample_rate=16000.0", AudioFormat("linear16", 16_000)),
    ],
)
def test_the_encodings_that_are_taken(query: str, audio: AudioFormat) -> None:
    assert listen(query).audio == audio


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("encoding=linear16", "sample_rate is None"),
        ("encoding=linear16&sample_rate=fast", "'fast'"),
        ("encoding=mulaw&sample_rate=100", "'100'"),
        ("encoding=amr-nb&sample_rate=8000", "'amr-nb'"),
        ("encoding=g729", "'g729'"),
        (f"{RAW}&channels=0", "'0'"),
        (f"{RAW}&channels=99", "'99'"),
    ],
)
def test_audio_that_cannot_be_understood_is_refused_with_the_value(query: str, named: str) -> None:
    with pytest.raises(UnusableQueryError, match=named) as refused:
        listen(query)
    assert refused.value.status == 400


@pytest.mark.parametrize("word", ["true", "True", "1"])
def test_booleans_come_in_several_spellings(word: str) -> None:
    options = listen(f"{RAW}&interim_results={word}&vad_events={word}&multichannel={word}")
    assert options.interim
    assert options.vad_events
    assert options.audio.separate


def test_what_is_not_said_is_as_at_deepgram_except_the_pause_which_is_the_servers() -> None:
    options = listen(RAW)
    assert (options.interim, options.vad_events, options.utterance_end_ms, options.alternatives) == (
        False,
        False,
        None,
        1,
    )
    assert (options.silence_ms, options.endpoints) == (None, True)


@pytest.mark.parametrize(
    ("value", "silence_ms", "endpoints"),
    [
        ("400", 400, True),
        ("10", 300, True),
        ("0", 300, True),
        ("true", None, True),
        ("false", None, False),
        ("False", None, False),
    ],
)
def test_endpointing_is_a_pause_or_off(value: str, silence_ms: int | None, endpoints: bool) -> None:
    options = listen(f"{RAW}&endpointing={value}")
    assert (options.silence_ms, options.endpoints) == (silence_ms, endpoints)


def test_the_gap_of_an_utterance_is_at_least_a_second() -> None:
    assert listen(f"{RAW}&utterance_end_ms=200").utterance_end_ms == 1_000
    assert listen(f"{RAW}&utterance_end_ms=1500").utterance_end_ms == 1_500


def test_keywords_and_keyterms_become_hotwords() -> None:
    options = listen(
        f"{RAW}&keywords=snap:2&keywords=plain&keywords=never:-3&keyterm=two+words&keyterm=a%20b&keyterm=a+b"
    )
    assert options.open().hotwords == {"snap": 20.0, "plain": 10.0, "two words": 10.0, "a b": 10.0}


def test_a_boost_cannot_drown_everything_else_and_a_colon_may_be_part_of_a_word() -> None:
    assert listen(f"{RAW}&keywords=loud:1000&keywords=a:b").keywords == {"loud": 25.0, "a:b": 10.0}


def test_parameters_that_change_nothing_are_named_unless_they_are_off() -> None:
    query = f"{RAW}&model=nova-3&diarize=true&filler_words=false&redact=pci&redact=ssn&frobnicate=yes&tag=x"
    assert listen(query).ignored == ("diarize", "frobnicate", "redact")


@pytest.mark.parametrize(
    ("query", "formatted"),
    [
        ("", False),
        ("punctuate=false&smart_format=false", False),
        ("punctuate=true", FormatOptions(punctuate=True, numbers=False)),
        ("numerals=true", FormatOptions(punctuate=False, numbers=True)),
        ("smart_format=true", FormatOptions()),
        ("paragraphs=true&numerals=true", FormatOptions()),
    ],
)
def test_words_are_formatted_as_far_as_was_asked_for(query: str, formatted: FormatOptions | bool) -> None:
    assert listen(f"{RAW}&{query}").open().formatted == formatted


def test_language_and_alternatives_reach_the_stream() -> None:
    opened = listen(f"{RAW}&language=en-US&alternatives=3&endpointing=350").open()
    assert (opened.language, opened.alternatives, opened.silence_ms) == ("en", 3, 350)


def test_partials_are_made_only_when_something_comes_of_them() -> None:
    assert not listen(RAW).open().partials
    assert listen(f"{RAW}&interim_results=true").open().partials
    assert listen(f"{RAW}&utterance_end_ms=1000").open().partials


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["endpointing", "utterance_end_ms", "keywords", "alternatives", "x"]), st.text())
    )
)
def test_no_value_of_another_parameter_fails_the_handshake(pairs: list[tuple[str, str]]) -> None:
    options = parse([("encoding", "linear16"), ("sample_rate", "16000"), *pairs])
    assert 1 <= options.alternatives <= 10
    assert all(weight > 0 for weight in options.keywords.values())
