"""Settings of OpenAI Realtime sessions: what an update changes, in the nested and in the flat shape."""

from __future__ import annotations

from typing import Any

import pytest
from streaming_asr_server.adapter.interface import AudioFormat, Turns
from streaming_asr_server.protocols.openai.session_settings import InvalidSettingError, SessionSettings

DEFAULT = SessionSettings.default("embedded")


def nested(**fields: Any) -> SessionSettings:
    return DEFAULT.updated({"type": "transcription", "audio": {"input": fields}})


def test_a_new_session_hears_24_khz_and_decides_itself_where_utterances_end() -> None:
    opened = DEFAULT.open(follows_sense=True)
    assert opened.audio == AudioFormat("linear16", 24_000)
    assert opened.silence_ms == 500
    assert DEFAULT.json("ga", session_id="sess_1", expires_at=9) == {
        "id": "sess_1",
        "object": "realtime.transcription_session",
        "type": "transcription",
        "expires_at": 9,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "embedded"},
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                },
            }
        },
        "include": None,
    }


@pytest.mark.parametrize(
    ("ga", "beta", "audio"),
    [
        ({"type": "audio/pcm", "rate": 24_000}, "pcm16", AudioFormat("linear16", 24_000)),
        ({"type": "audio/pcmu"}, "g711_ulaw", AudioFormat("mulaw", 8_000)),
        ({"type": "audio/pcma"}, "g711_alaw", AudioFormat("alaw", 8_000)),
    ],
)
def test_both_shapes_name_the_same_formats(ga: dict[str, Any], beta: str, audio: AudioFormat) -> None:
    by_ga, by_beta = nested(format=ga), DEFAULT.updated({"input_audio_format": beta})
    assert by_ga == by_beta
    assert by_ga.open(follows_sense=True).audio == audio
    assert by_ga.json("ga", session_id="", expires_at=0)["audio"]["input"]["format"] == ga
    assert by_ga.json("beta", session_id="", expires_at=0)["input_audio_format"] == beta


def test_both_shapes_set_everything_else_alike() -> None:
    transcription = {"model": "gpt-4o-transcribe", "language": "en", "prompt": "about birds"}
    turn = {"type": "server_vad", "silence_duration_ms": 250}
    include = ["item.input_audio_transcription.logprobs"]
    ga = DEFAULT.updated(
        {
            "audio": {
                "input": {
                    "transcription": transcription,
                    "turn_detection": turn,
                    "noise_reduction": {"type": "near_field"},
                }
            },
            "include": include,
        }
    )
    beta = DEFAULT.updated(
        {
            "input_audio_transcription": transcription,
            "turn_detection": turn,
            "input_audio_noise_reduction": {"type": "near_field"},
            "include": include,
        }
    )
    assert ga == beta
    assert ga.logprobs
    assert ga.open(follows_sense=True).language == "en"
    assert ga.open(follows_sense=True).silence_ms == 250
    assert beta.json("beta", session_id="s", expires_at=1)["input_audio_transcription"] == transcription


def test_only_what_is_present_changes_and_null_clears() -> None:
    manual = nested(turn_detection=None)
    assert manual.turn_detection is None
    assert manual.transcription == DEFAULT.transcription
    assert manual.open(follows_sense=True).silence_ms is None, "the server's own rules keep utterances bounded"
    assert manual.updated({"include": ["x"]}).turn_detection is None
    assert nested(transcription=None).transcription is None
    assert DEFAULT.updated({"include": ["x"]}).updated({"include": None}).include is None


def test_a_part_of_the_transcription_keeps_the_rest() -> None:
    told = nested(transcription={"model": "m", "keywords": ["Streamwell"]})
    later = told.updated({"audio": {"input": {"transcription": {"language": "en"}}}})
    assert later.transcription == {"model": "m", "keywords": ["Streamwell"], "language": "en"}


def test_turn_detection_is_shown_with_its_defaults() -> None:
    assert nested(turn_detection={"type": "server_vad", "threshold": 0.9}).turn_detection == {
        "type": "server_vad",
        "threshold": 0.9,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
    }


@pytest.mark.parametrize(
    ("eagerness", "turns", "silence_ms"),
    [("low", Turns(600, 8_000), 1_500), ("auto", Turns(300, 4_000), 700), ("high", Turns(200, 2_000), 400)],
)
def test_eagerness_is_how_long_the_sense_is_waited_for(eagerness: str, turns: Turns, silence_ms: int) -> None:
    detection = nested(turn_detection={"type": "semantic_vad", "eagerness": eagerness})
    assert detection.open(follows_sense=True).turns == turns
    without = detection.open(follows_sense=False)
    assert (without.turns, without.silence_ms) == (None, silence_ms)
    assert (
        nested(turn_detection={"type": "semantic_vad"}).turns
        == nested(turn_detection={"type": "semantic_vad", "eagerness": "medium"}).turns
    )
    assert DEFAULT.open(follows_sense=True).turns is None


def test_keywords_are_hotwords_and_so_is_the_prompt_of_whisper_1() -> None:
    assert nested(transcription={"keywords": ["Ada", "two words", " "]}).hotwords() == {"Ada": 10.0, "two words": 10.0}
    assert nested(transcription={"model": "whisper-1", "prompt": "Ada, Bob"}).hotwords() == {"Ada": 10.0, "Bob": 10.0}
    assert nested(transcription={"model": "gpt-4o-transcribe", "prompt": "Ada, Bob"}).hotwords() == {}


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "realtime"}, "session.type"),
        ({"audio": []}, "session.audio"),
        ({"audio": {"input": 3}}, "session.audio.input"),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "session.audio.input.format"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}, "session.audio.input.format.rate"),
        ({"input_audio_format": "wav"}, "session.input_audio_format"),
        ({"turn_detection": "server_vad"}, "session.turn_detection"),
        ({"turn_detection": {"type": "magic"}}, "session.turn_detection.type"),
        ({"turn_detection": {"silence_duration_ms": -1}}, "session.turn_detection.silence_duration_ms"),
        ({"turn_detection": {"threshold": "loud"}}, "session.turn_detection.threshold"),
        ({"turn_detection": {"threshold": True}}, "session.turn_detection.threshold"),
        ({"turn_detection": {"type": "semantic_vad", "eagerness": ["x"]}}, "session.turn_detection.eagerness"),
        ({"audio": {"input": {"transcription": {"model": 1}}}}, "session.audio.input.transcription.model"),
        ({"input_audio_transcription": {"keywords": "a"}}, "session.input_audio_transcription.keywords"),
        ({"include": "x"}, "session.include"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_path(session: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        DEFAULT.updated(session)
    assert refused.value.param == param


@pytest.mark.parametrize(("kind", "size"), [("pcm16", 48_000), ("g711_ulaw", 8_000), ("g711_alaw", 8_000)])
def test_a_second_of_audio_has_so_many_bytes(kind: str, size: int) -> None:
    assert DEFAULT.updated({"input_audio_format": kind}).seconds(size) == 1.0
