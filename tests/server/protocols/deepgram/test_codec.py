"""Deepgram's live protocol, driven by scripted events: which message answers what, and when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.adapter.interface import (
    Action,
    AudioFormat,
    CodecFailure,
    EndStream,
    EndUtterance,
    OpenStream,
    PushAudio,
    UpdateHotwords,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.deepgram.codec import IDLE_REASON, IDLE_SECONDS, DeepgramCodec
from streaming_asr_server.protocols.deepgram.messages import Request
from streaming_asr_server.protocols.deepgram.options import parse

from streaming_asr.events import (
    Alternative,
    EndReason,
    Event,
    Final,
    Partial,
    SpeechEnded,
    SpeechStarted,
    Word,
)

FIRST = b"\0\0"
REQUEST = Request("request-1", "2024-08-29T22:37:55.202Z", "embedded", "model-1")


def codec(query: str = "") -> DeepgramCodec:
    """A connection on which audio has come already."""
    made = fresh(query)
    assert isinstance(say(made, FIRST)[0], OpenStream)
    return made


def fresh(query: str = "") -> DeepgramCodec:
    return DeepgramCodec(parse(parse_qsl(f"encoding=linear16&sample_rate=16000&{query}")), REQUEST)


def say(codec: DeepgramCodec, text: str | bytes) -> Sequence[Action]:
    return codec.receive(text)


def tell(codec: DeepgramCodec, *events: Event, channel: int = 0) -> list[dict[str, Any]]:
    return [message for event in events for message in sent(codec.event(channel, event))]


def sent(actions: Sequence[Action]) -> list[dict[str, Any]]:
    return [json.loads(action.data) for action in actions if isinstance(action, Send)]


def words(text: str, start: float = 0.5) -> tuple[Word, ...]:
    return tuple(Word(word, start + 0.3 * n, start + 0.3 * n + 0.2, 0.9) for n, word in enumerate(text.split()))


def partial(committed: str, tail: str = "", utterance: int = 0, start: float = 0.5) -> Partial:
    spoken = words(f"{committed} {tail}", start)
    return Partial(utterance, committed, tail, spoken, spoken[0].start, spoken[-1].end, 0.0)


def final(text: str, utterance: int = 0, start: float = 0.5, reason: EndReason = "silence") -> Final:
    spoken = words(text, start)
    best = Alternative(text, -1.0, spoken)
    others = (best, Alternative("other", -2.0, words("other", start)))
    return Final(utterance, text, spoken, spoken[0].start, spoken[-1].end, 0.9, others, reason, 0.0)


def ended(utterance: int = 0, time: float = 1.0, reason: EndReason = "silence") -> SpeechEnded:
    return SpeechEnded(utterance, time, reason, 0.0)


def test_a_result_has_every_field_that_clients_index() -> None:
    (message,) = tell(codec(), final("hello there"))
    assert message == {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": 0.5,
        "start": 0.5,
        "is_final": True,
        "speech_final": True,
        "from_finalize": False,
        "channel": {
            "alternatives": [
                {
                    "transcript": "hello there",
                    "confidence": 0.9,
                    "words": [
                        {"word": "hello", "start": 0.5, "end": 0.7, "confidence": 0.9, "punctuated_word": "hello"},
                        {"word": "there", "start": 0.8, "end": 1.0, "confidence": 0.9, "punctuated_word": "there"},
                    ],
                }
            ]
        },
        "metadata": {
            "request_id": "request-1",
            "model_info": {"name": "embedded", "version": "1", "arch": "wav2vec2"},
            "model_uuid": "model-1",
        },
    }


def test_interim_results_come_only_when_asked_for_and_may_be_dropped() -> None:
    assert tell(codec(), partial("hello", "the")) == []
    (action,) = codec("interim_results=true").event(0, partial("hello", "the"))
    assert isinstance(action, Send)
    assert action.replaces == 0
    message = json.loads(action.data)
    assert message["channel"]["alternatives"][0]["transcript"] == "hello the"
    assert (message["is_final"], message["speech_final"]) == (False, False)


def test_interim_results_and_their_final_start_at_the_same_time() -> None:
    made = codec("interim_results=true")
    messages = tell(made, partial("hello"), partial("hello", "there"), final("hello there"))
    assert {message["start"] for message in messages} == {0.5}


def test_results_of_a_channel_never_overlap() -> None:
    made = codec()
    first, second = tell(made, final("one two three"), final("four", 1, start=0.9))
    assert second["start"] == first["start"] + first["duration"]


def test_an_utterance_that_was_only_too_long_is_final_but_speech_goes_on() -> None:
    (message,) = tell(codec(), final("and so on", reason="maximum_length"))
    assert (message["is_final"], message["speech_final"]) == (True, False)


def test_endpointing_false_never_says_that_speech_is_over() -> None:
    (message,) = tell(codec("endpointing=false"), final("hello"))
    assert (message["is_final"], message["speech_final"]) == (True, False)


def test_speech_without_words_ends_too_but_only_once() -> None:
    made = codec("vad_events=true")
    started, empty = tell(made, SpeechStarted(0, 0.4, 0.0), ended(time=2.0, reason="no_words"))
    assert started == {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.4}
    assert empty["channel"]["alternatives"] == [{"transcript": "", "confidence": 0.0, "words": []}]
    assert (empty["start"], empty["duration"], empty["speech_final"]) == (0.4, 1.6, True)
    assert [message["type"] for message in tell(made, final("hello", 1, start=3.0), ended(1))] == ["Results"]


def test_the_start_of_speech_is_told_only_when_asked_for() -> None:
    assert tell(codec(), SpeechStarted(0, 0.4, 0.0)) == []


def test_alternatives_are_as_many_as_asked_for() -> None:
    (one,), (two,) = tell(codec(), final("hello")), tell(codec("alternatives=2"), final("hello"))
    assert len(one["channel"]["alternatives"]) == 1
    assert [said["transcript"] for said in two["channel"]["alternatives"]] == ["hello", "other"]


def test_finalize_is_answered_by_the_words_that_were_left() -> None:
    made = codec()
    assert say(made, '{"type":"Finalize"}') == [EndUtterance(None)]
    (message,) = tell(made, final("hello", reason="finalize"), ended(reason="finalize"))
    assert (message["from_finalize"], message["speech_final"]) == (True, True)
    assert made.utterance_ended(None, 2.0) == []


def test_finalize_is_answered_when_nothing_was_left() -> None:
    made = codec()
    tell(made, final("hello"), ended())
    say(made, '{"type":"Finalize"}')
    (message,) = sent(made.utterance_ended(None, 3.0))
    assert message["from_finalize"]
    assert message["is_final"]
    assert message["channel"]["alternatives"][0]["transcript"] == ""
    assert (message["start"], message["duration"]) == (0.7, 2.3)


def test_every_finalize_is_answered_also_when_several_are_under_way() -> None:
    made = codec()
    assert say(made, '{"type":"Finalize"}') == say(made, '{"type":"Finalize"}') == [EndUtterance(None)]
    tell(made, final("hello", reason="finalize"), ended(reason="finalize"))
    assert made.utterance_ended(None, 1.0) == []
    assert [message["from_finalize"] for message in sent(made.utterance_ended(None, 1.0))] == [True]
    for position in (1.0, 2.0, 3.0):
        say(made, '{"type":"Finalize"}')
        assert [message["from_finalize"] for message in sent(made.utterance_ended(None, position))] == [True]


def test_finalize_can_name_a_channel() -> None:
    made = codec("channels=2&multichannel=true")
    made.channels_known(2)
    assert say(made, '{"type":"Finalize","channel":1}') == [EndUtterance(1)]
    assert [message["channel_index"] for message in sent(made.utterance_ended(1, 1.0))] == [[1, 2]]
    assert say(made, '{"type":"Finalize"}') == [EndUtterance(None)]
    assert [message["channel_index"] for message in sent(made.utterance_ended(None, 1.0))] == [[0, 2], [1, 2]]


def test_finalize_of_a_channel_that_is_not_there_is_an_error_and_the_stream_stays_open() -> None:
    made = codec()
    (message,) = sent(say(made, '{"type":"Finalize","channel":4}'))
    assert (message["type"], message["variant"]) == ("Error", "SchemaError")
    assert say(made, b"\0\0") == [PushAudio(b"\0\0")]


def test_channels_are_told_apart() -> None:
    made = codec("channels=2&multichannel=true&vad_events=true")
    made.channels_known(2)
    left, right = tell(made, final("left")), tell(made, SpeechStarted(0, 0.1, 0.0), final("right"), channel=1)
    assert [message["channel_index"] for message in left] == [[0, 2]]
    assert (right[0]["channel"], right[1]["channel_index"]) == ([1, 2], [1, 2])


def test_close_stream_flushes_sums_up_and_closes() -> None:
    made = codec()
    say(made, b"\1\2")
    say(made, b"\3\4")
    assert say(made, '{"type":"CloseStream"}') == [EndStream()]
    (last,) = tell(made, final("hello", reason="finish"))
    assert (last["is_final"], last["speech_final"], last["from_finalize"]) == (True, True, False)
    actions = made.finished(12.3456)
    assert actions[-1] == Close(1000)
    (message,) = sent(actions)
    assert message["type"] == "Metadata"
    assert message["sha256"] == hashlib.sha256(FIRST + b"\1\2\3\4").hexdigest()
    assert (message["duration"], message["channels"], message["request_id"]) == (12.346, 1, "request-1")
    assert message["created"] == "2024-08-29T22:37:55.202Z"


def test_after_close_stream_nothing_is_heard() -> None:
    made = codec()
    say(made, '{"type":"CloseStream"}')
    for text in (b"\0\0", '{"type":"Finalize"}', '{"type":"CloseStream"}', '{"type":"KeepAlive"}', "nonsense"):
        assert say(made, text) == []


def test_recognition_opens_with_the_first_message_that_needs_it() -> None:
    made = fresh()
    assert made.greeting() == []
    assert say(made, '{"type":"KeepAlive"}') == []
    assert [type(action) for action in say(made, "nonsense")] == [Send]
    opened, audio = say(made, b"\0\0")
    assert isinstance(opened, OpenStream)
    assert opened.audio == AudioFormat("linear16", 16_000)
    assert audio == PushAudio(b"\0\0")


@pytest.mark.parametrize("kind", ["Finalize", "CloseStream"])
def test_a_flush_before_any_audio_is_answered_too(kind: str) -> None:
    opened, action = say(fresh(), json.dumps({"type": kind}))
    assert isinstance(opened, OpenStream)
    assert isinstance(action, EndUtterance | EndStream)


def test_silence_of_the_client_ends_the_connection() -> None:
    assert codec().failed(CodecFailure("idle", "")) == [Close(1011, IDLE_REASON)]
    assert IDLE_SECONDS == 10
    assert len(IDLE_REASON.encode()) <= 123, "a close reason has at most 123 bytes"


def test_an_empty_binary_message_is_the_end_of_audio_and_nothing_before_audio() -> None:
    made = fresh()
    assert say(made, b"") == []
    assert say(made, b"\0\0")[-1] == PushAudio(b"\0\0")
    assert say(made, b"") == [EndStream()]


def test_a_close_stream_may_come_as_binary_and_audio_that_looks_like_json_is_audio() -> None:
    assert say(codec(), b'{"type": "CloseStream"}')[-1] == EndStream()
    assert say(codec(), b'{"type": "Close')[-1] == PushAudio(b'{"type": "Close')
    assert say(codec(), b'{"type": "KeepAlive"}')[-1] == PushAudio(b'{"type": "KeepAlive"}')


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"type":"Whatever"}', '{"kind":1}', '{"type":["x"]}', "NaN"]
)
def test_a_text_that_is_not_understood_is_an_error_and_the_stream_stays_open(text: str) -> None:
    made = codec()
    (message,) = sent(say(made, text))
    assert (message["type"], message["variant"], message["message"]) == ("Error", "SchemaError", text)
    assert say(made, b"\0\0") == [PushAudio(b"\0\0")]


def test_configure_replaces_keyterms_and_keeps_keywords() -> None:
    made = codec("keywords=snap:1&keyterm=old")
    update, answer = say(made, '{"type":"Configure","keyterms":["new one", "new one", " "]}')
    assert update == UpdateHotwords({"snap": 10.0, "new one": 10.0})
    assert sent([answer]) == [{"type": "ConfigureSuccess", "request_id": "request-1", "keyterms": ["new one"]}]


def test_configure_with_an_empty_list_clears_and_with_null_keeps() -> None:
    made = codec("keyterm=old")
    assert say(made, '{"type":"Configure","keyterms":[]}')[0] == UpdateHotwords({})
    kept = say(made, '{"type":"Configure","keyterms":null,"features":{"numerals":true}}')
    assert sent(kept) == [{"type": "ConfigureSuccess", "request_id": "request-1"}]
    assert len(kept) == 1


def test_configure_that_cannot_be_done_says_so() -> None:
    made = codec()
    (many,) = sent(say(made, json.dumps({"type": "Configure", "keyterms": [f"term {n}" for n in range(501)]})))
    assert (many["type"], many["code"]) == ("ConfigureFailure", "CONFIGURE_KEYTERM_LIMIT_EXCEEDED")
    (wrong,) = sent(say(made, '{"type":"Configure","keyterms":"x"}'))
    assert wrong["variant"] == "SchemaError"


@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [
        ("request", 1008, "why"),
        ("audio", 1008, "DATA-0000"),
        ("limit", 1008, "why"),
        ("shutdown", 1012, "why"),
        ("server", 1011, "NET-0000"),
    ],
)
def test_a_failure_ends_the_connection_with_a_code_that_says_whose_fault(kind: Any, code: int, says: str) -> None:
    *_, close = codec().failed(CodecFailure(kind, "why" * 100))
    assert isinstance(close, Close)
    assert len(close.reason.encode()) <= 123
    assert close.code == code
    assert says in close.reason


def test_utterance_end_follows_a_gap_after_the_last_final_word_once() -> None:
    made = codec("utterance_end_ms=1000&interim_results=true")
    tell(made, SpeechStarted(0, 0.4, 0.0), final("hello there"), ended())
    assert made.audio_recognized(1, 1.9) == []
    assert sent(made.audio_recognized(1, 2.0)) == [{"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0}]
    assert made.audio_recognized(1, 5.0) == []


def test_utterance_end_waits_while_speech_that_may_hold_words_goes_on() -> None:
    made = codec("utterance_end_ms=1000")
    tell(made, SpeechStarted(0, 0.4, 0.0), final("hello"), ended(), SpeechStarted(1, 1.2, 0.0))
    assert made.audio_recognized(1, 4.0) == [], "words may still be found from 1.2 on"
    tell(made, partial("again", utterance=1, start=1.3))
    assert made.audio_recognized(1, 6.0) == []


def test_utterance_end_comes_before_the_words_behind_a_gap() -> None:
    made = codec("utterance_end_ms=1000&interim_results=true")
    messages = tell(made, final("hello"), partial("again", utterance=1, start=3.0))
    assert [message["type"] for message in messages] == ["Results", "UtteranceEnd", "Results"]


def test_utterance_end_is_not_told_unless_asked_for() -> None:
    made = codec()
    tell(made, final("hello"), ended())
    assert made.audio_recognized(1, 60.0) == []


CLIENT_MESSAGES = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8),
    st.sampled_from(["KeepAlive", "Finalize", "CloseStream", "Configure", "?"]).map(
        lambda kind: json.dumps({"type": kind})
    ),
    st.dictionaries(
        st.sampled_from(["type", "channel", "keyterms"]), st.integers() | st.none() | st.lists(st.text())
    ).map(json.dumps),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CLIENT_MESSAGES, max_size=12))
def test_any_sequence_of_messages_leaves_the_codec_in_a_documented_state(raw: list[str | bytes]) -> None:
    made, closing, finishes, opened = fresh(), False, 0, 0
    for message in raw:
        actions = say(made, message)
        assert actions == [] or not closing
        finishes += sum(isinstance(action, EndStream) for action in actions)
        closing = finishes > 0
        opened += sum(isinstance(action, OpenStream) for action in actions)
        assert opened or all(isinstance(action, Send) for action in actions)
        for action in actions:
            if isinstance(action, EndUtterance):
                assert sent(made.utterance_ended(action.channel, 1.0))
    assert finishes <= 1
    assert opened <= 1
