"""OpenAI's Realtime protocol, driven by scripted events: exact order, deltas that are never taken back, errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.adapter.interface import (
    Action,
    CodecFailure,
    EndUtterance,
    OpenStream,
    PushAudio,
    Turns,
    UpdateHotwords,
    UpdateSilence,
    UpdateTurns,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.openai.codec import OpenAICodec
from streaming_asr_server.protocols.openai.messages import Dialect
from streaming_asr_server.protocols.openai.session_settings import SessionSettings

from streaming_asr.events import Alternative, EndReason, Event, Final, Partial, SpeechEnded, SpeechStarted, Word

SECOND = b"\0" * 48_000


def codec(dialect: Dialect = "ga", *, manual: bool = False, text_models: tuple[str | None, ...] = ()) -> OpenAICodec:
    made = OpenAICodec(
        SessionSettings.default("embedded"),
        dialect,
        session_id="sess_7",
        expires_at=1_000,
        follows_sense=lambda language, model: language in text_models,
    )
    if manual:
        send(made, {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}})
    return made


def send(codec: OpenAICodec, message: dict[str, Any]) -> Sequence[Action]:
    return codec.receive(json.dumps(message))


def append(codec: OpenAICodec, audio: bytes = SECOND) -> Sequence[Action]:
    return send(codec, {"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()})


def commit(codec: OpenAICodec, *events: Event) -> list[dict[str, Any]]:
    """A commit, and the events that its flush gives."""
    actions = send(codec, {"type": "input_audio_buffer.commit"})
    assert actions == [EndUtterance()], sent(actions)
    return [*tell(codec, *events), *sent(codec.utterance_ended(None, 0.0))]


def tell(codec: OpenAICodec, *events: Event) -> list[dict[str, Any]]:
    return [message for event in events for message in sent(codec.event(0, event))]


def sent(actions: Sequence[Action]) -> list[dict[str, Any]]:
    messages = [json.loads(action.data) for action in actions if isinstance(action, Send)]
    assert all(action.replaces is None for action in actions if isinstance(action, Send)), (
        "a delta must never be dropped"
    )
    return messages


def kinds(messages: Sequence[dict[str, Any]]) -> list[str]:
    """The types without their long common prefixes."""
    prefixes = ("conversation.item.input_audio_transcription.", "conversation.item.", "input_audio_buffer.")
    shortened = []
    for message in messages:
        kind = message["type"]
        for prefix in prefixes:
            kind = kind.removeprefix(prefix)
        shortened.append(kind)
    return shortened


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(word, 0.5 + 0.3 * n, 0.7 + 0.3 * n, 0.5) for n, word in enumerate(text.split()))


def started(time: float = 0.25, utterance: int = 0) -> SpeechStarted:
    return SpeechStarted(utterance, time, 0.0)


def partial(committed: str, tail: str = "", utterance: int = 0) -> Partial:
    return Partial(utterance, committed, tail, words(f"{committed} {tail}"), 0.5, 1.0, 0.0)


def final(text: str, utterance: int = 0, reason: EndReason = "silence") -> Final:
    best = Alternative(text, -1.0, words(text))
    return Final(utterance, text, best.words, 0.5, 1.0, 0.9, (best,), reason, 0.0)


def ended(time: float = 1.0, utterance: int = 0, reason: EndReason = "silence") -> SpeechEnded:
    return SpeechEnded(utterance, time, reason, 0.0)


@pytest.mark.parametrize(("dialect", "kind"), [("ga", "session.created"), ("beta", "transcription_session.created")])
def test_the_server_speaks_first(dialect: Dialect, kind: str) -> None:
    (message,) = sent(codec(dialect).greeting())
    assert message["type"] == kind
    assert message["event_id"]
    assert (message["session"]["id"], message["session"]["expires_at"]) == ("sess_7", 1_000)


def test_the_stream_opens_with_the_first_audio_and_appends_are_not_answered() -> None:
    made = codec()
    opened, audio = append(made)
    assert isinstance(opened, OpenStream)
    assert audio == PushAudio(SECOND)
    assert append(made) == [PushAudio(SECOND)]
    assert made.audio_recognized(2, 2.0) == []


def test_with_server_vad_the_order_is_exact() -> None:
    made = codec()
    append(made)
    messages = tell(made, started(), partial("", "hel"), partial("hello", "the"), final("hello there"), ended())
    assert kinds(messages) == [
        "speech_started",
        "delta",
        "delta",
        "speech_stopped",
        "committed",
        "added",
        "done",
        "completed",
    ]
    item = messages[0]["item_id"]
    assert all(message.get("item_id", item) == item for message in messages)
    assert (messages[0]["audio_start_ms"], messages[3]["audio_end_ms"]) == (250, 1_000)
    assert [message["delta"] for message in messages[1:3]] == ["hello", " there"]
    assert messages[4]["previous_item_id"] is None
    assert messages[5]["item"] == {
        "id": item,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    assert (messages[7]["transcript"], messages[7]["content_index"]) == ("hello there", 0)
    assert messages[7]["usage"] == {"type": "duration", "seconds": 0.75}
    assert messages[7]["logprobs"] is None


def test_the_beta_dialect_has_one_item_event() -> None:
    made = codec("beta")
    append(made)
    messages = tell(made, started(), final("hello"), ended())
    assert kinds(messages) == ["speech_started", "delta", "speech_stopped", "committed", "created", "completed"]


def test_event_names_are_unique_and_items_are_chained() -> None:
    made = codec()
    append(made)
    messages = tell(made, started(), final("one"), ended(), started(2.0, 1), final("two", 1), ended(3.0, 1))
    names = [message["event_id"] for message in messages]
    assert len(set(names)) == len(names)
    first, second = (message for message in messages if message["type"] == "input_audio_buffer.committed")
    assert first["previous_item_id"] is None
    assert second["previous_item_id"] == first["item_id"] != second["item_id"]


def test_deltas_carry_committed_words_only_and_add_up_to_the_transcript() -> None:
    made = codec()
    append(made)
    messages = tell(
        made,
        started(),
        partial("", "a b c"),
        partial("a", "x"),
        partial("a", "y"),
        partial("a b", ""),
        final("a b c"),
        ended(),
    )
    assert [message["delta"] for message in messages if "delta" in message] == ["a", " b", " c"]
    assert messages[-1]["transcript"] == "a b c"


def test_speech_without_words_is_completed_with_an_empty_transcript() -> None:
    made = codec()
    append(made)
    messages = tell(made, started(), ended(reason="no_words"))
    assert kinds(messages) == ["speech_started", "speech_stopped", "committed", "added", "done", "completed"]
    assert messages[-1]["transcript"] == ""


def test_without_turn_detection_a_commit_makes_one_item_of_everything() -> None:
    made = codec(manual=True)
    append(made)
    heard = tell(
        made, started(), partial("one"), final("one two"), ended(), started(1.5, 1), partial("three", utterance=1)
    )
    assert kinds(heard) == ["delta", "delta", "delta"]
    append(made)
    messages = commit(made, final("three four", 1, "finalize"), ended(1.9, 1, "finalize"))
    assert kinds(messages) == ["delta", "committed", "added", "done", "completed"]
    assert "".join(message["delta"] for message in [*heard, *messages] if "delta" in message) == "one two three four"
    assert messages[-1]["transcript"] == "one two three four"
    assert messages[-1]["usage"] == {"type": "duration", "seconds": 2.0}
    assert {message["item_id"] for message in [*heard, *messages] if "item_id" in message} == {messages[1]["item_id"]}


def test_a_commit_of_silence_gives_an_item_without_words() -> None:
    for made in (codec(manual=True), codec()):
        append(made)
        messages = commit(made)
        assert kinds(messages) == ["committed", "added", "done", "completed"]
        assert messages[-1]["transcript"] == ""


def test_usage_counts_each_second_of_audio_once() -> None:
    made = codec(manual=True)
    used = []
    for seconds in (1, 2, 3):
        append(made, SECOND * seconds)
        used.append(commit(made)[-1]["usage"]["seconds"])
    assert used == [1.0, 2.0, 3.0]


def test_a_commit_in_the_midst_of_speech_ends_the_item_like_silence_does() -> None:
    made = codec()
    append(made)
    tell(made, started(), partial("hello"))
    messages = commit(made, final("hello you", reason="finalize"), ended(0.9, reason="finalize"))
    assert kinds(messages) == ["delta", "speech_stopped", "committed", "added", "done", "completed"]
    append(made, SECOND[:4_700])
    (error,) = sent(send(made, {"type": "input_audio_buffer.commit"}))
    assert error["error"]["code"] == "input_audio_buffer_commit_empty", "the committed audio is gone"


@pytest.mark.parametrize("size", [0, 4_798])
def test_a_commit_of_less_than_100_ms_is_an_error(size: int) -> None:
    made = codec(manual=True)
    append(made, SECOND[:size])
    (message,) = sent(send(made, {"type": "input_audio_buffer.commit", "event_id": "mine"}))
    assert message["type"] == "error"
    assert message["error"]["code"] == "input_audio_buffer_commit_empty"
    assert message["error"]["event_id"] == "mine"
    assert "at least 100ms" in message["error"]["message"]
    assert f"{size / 48:.2f}ms" in message["error"]["message"]


def test_clear_forgets_what_was_not_committed() -> None:
    made = codec(manual=True)
    append(made)
    tell(made, started(), partial("never"))
    assert send(made, {"type": "input_audio_buffer.clear"}) == [EndUtterance()]
    assert tell(made, final("never mind", reason="finalize"), ended(reason="finalize")) == []
    assert kinds(sent(made.utterance_ended(None, 1.0))) == ["cleared"]
    append(made)
    messages = commit(made, final("this", 1, "finalize"))
    assert messages[-1]["transcript"] == "this"
    assert messages[-1]["usage"]["seconds"] == 1.0


def test_clear_before_any_audio_is_answered_at_once() -> None:
    assert kinds(sent(send(codec(), {"type": "input_audio_buffer.clear"}))) == ["cleared"]


@pytest.mark.parametrize(
    ("dialect", "update", "answer"),
    [
        ("ga", "session.update", "session.updated"),
        ("beta", "transcription_session.update", "transcription_session.updated"),
        ("beta", "session.update", "session.updated"),
    ],
)
def test_an_update_is_answered_in_its_own_dialect(dialect: Dialect, update: str, answer: str) -> None:
    message = {"type": update, "session": {"turn_detection": None, "audio": {"input": {"turn_detection": None}}}}
    (told,) = sent(send(codec(dialect), message))
    assert told["type"] == answer
    shown = told["session"]["audio"]["input"] if answer == "session.updated" else told["session"]
    assert shown["turn_detection"] is None


def test_an_update_reaches_the_running_stream() -> None:
    made = codec()
    append(made)
    fields = {
        "transcription": {"keywords": ["Ada"]},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 900},
    }
    actions = send(made, {"type": "session.update", "session": {"audio": {"input": fields}}})
    assert actions[:2] == [UpdateSilence(900), UpdateHotwords({"Ada": 10.0})]
    assert kinds(sent(actions)) == ["session.updated"]
    assert kinds(sent(send(made, {"type": "session.update", "session": {}}))) == ["session.updated"]


def semantic(eagerness: str, **transcription: str) -> dict[str, Any]:
    detection = {"type": "semantic_vad", "eagerness": eagerness}
    return {
        "type": "session.update",
        "session": {"turn_detection": detection, "input_audio_transcription": transcription},
    }


def test_semantic_turns_follow_the_sense_where_the_language_has_a_text_model() -> None:
    made = codec(text_models=("en",))
    send(made, semantic("low", language="en"))
    opened, _ = append(made)
    assert isinstance(opened, OpenStream)
    assert opened.turns == Turns(600, 8_000)
    assert send(made, semantic("high"))[0] == UpdateTurns(Turns(200, 2_000))
    assert send(made, {"type": "session.update", "session": {"turn_detection": None}})[0] == UpdateSilence(None)


def test_semantic_turns_wait_for_a_fixed_silence_where_it_has_none() -> None:
    made = codec(text_models=("en",))
    send(made, semantic("low", language="fr"))
    opened, _ = append(made)
    assert isinstance(opened, OpenStream)
    assert (opened.turns, opened.silence_ms) == (None, 1_500)
    assert send(made, semantic("high"))[0] == UpdateSilence(400)


def test_the_format_is_fixed_once_audio_came() -> None:
    made = codec()
    update = {"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}}
    assert kinds(sent(send(made, update))) == ["session.updated"]
    append(made)
    assert kinds(sent(send(made, update))) == ["session.updated"], "the same format again is no change"
    update["session"] = {"input_audio_format": "pcm16"}
    (error,) = sent(send(made, update))
    assert (error["type"], error["error"]["param"]) == ("error", "session.audio")


def test_a_wrong_update_changes_nothing() -> None:
    made = codec()
    (error,) = sent(send(made, {"type": "session.update", "event_id": "e1", "session": {"type": "realtime"}}))
    assert error["error"] == {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "session.type is 'realtime'; this server only has 'transcription' sessions.",
        "param": "session.type",
        "event_id": "e1",
    }
    (same,) = sent(send(made, {"type": "session.update", "session": {}}))
    assert same["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500


@pytest.mark.parametrize(
    "raw",
    [
        "{",
        "[]",
        "7",
        '{"type":"response.create"}',
        '{"type":"nothing"}',
        '{"type":7}',
        '{"type":"session.update"}',
        '{"type":"session.update","session":NaN}',
        '{"type":"input_audio_buffer.append"}',
        '{"type":"input_audio_buffer.append","audio":"***"}',
        '{"type":"input_audio_buffer.append","audio":"é"}',
        b"\xff\xfe",
    ],
)
def test_a_message_that_is_not_understood_is_an_error_and_the_session_goes_on(raw: str | bytes) -> None:
    made = codec()
    (message,) = sent(made.receive(raw))
    assert message["type"] == "error"
    assert message["error"]["type"] == "invalid_request_error"
    assert append(made)[-1] == PushAudio(SECOND)


def test_too_much_audio_at_once_is_refused() -> None:
    made = codec()
    (message,) = sent(append(made, bytes(15 * 1024 * 1024 + 1)))
    assert message["error"]["param"] == "audio"


def test_confidences_are_shown_when_asked_for() -> None:
    made = codec()
    include = ["item.input_audio_transcription.logprobs"]
    send(made, {"type": "session.update", "session": {"include": include}})
    append(made)
    messages = tell(made, started(), partial("a", "b"), final("a b"), ended())
    assert [message["logprobs"] for message in messages if "delta" in message] == [
        [{"token": "a", "logprob": -0.6931, "bytes": [97]}],
        [{"token": "b", "logprob": -0.6931, "bytes": [98]}],
    ]
    assert [entry["token"] for entry in messages[-1]["logprobs"]] == ["a", "b"]


def test_audio_that_cannot_be_decoded_fails_its_item_only() -> None:
    made = codec()
    append(made)
    tell(made, started())
    (failed,) = sent(made.failed(CodecFailure("audio", "bad samples")))
    assert failed["type"] == "conversation.item.input_audio_transcription.failed"
    assert failed["error"]["message"] == "bad samples"
    (error,) = sent(codec().failed(CodecFailure("audio", "bad samples")))
    assert error["type"] == "error", "there is no item yet"


@pytest.mark.parametrize(
    ("kind", "code", "close"),
    [
        ("request", "invalid_value", 1008),
        ("idle", "session_expired", 1008),
        ("limit", "session_expired", 1008),
        ("shutdown", "server_shutdown", 1012),
        ("server", "server_error", 1011),
    ],
)
def test_limits_and_faults_end_the_session_with_an_error(kind: Any, code: str, close: int) -> None:
    *messages, last = codec().failed(CodecFailure(kind, "why"))
    assert [message["error"]["code"] for message in sent(messages)] == [code]
    assert last == Close(close, "why")


def test_several_commits_and_clears_may_be_under_way() -> None:
    made = codec(manual=True)
    for operation in ("commit", "clear", "commit"):
        append(made)
        assert send(made, {"type": f"input_audio_buffer.{operation}"}) == [EndUtterance()]
    first = [*tell(made, final("one", reason="finalize")), *sent(made.utterance_ended(None, 1.0))]
    assert kinds(first) == ["delta", "committed", "added", "done", "completed"]
    assert kinds([*tell(made, final("two", 1, "finalize")), *sent(made.utterance_ended(None, 2.0))]) == ["cleared"]
    last = [*tell(made, final("three", 2, "finalize")), *sent(made.utterance_ended(None, 3.0))]
    assert (first[-1]["transcript"], last[-1]["transcript"]) == ("one", "three")
    assert (first[-1]["usage"]["seconds"], last[-1]["usage"]["seconds"]) == (1.0, 1.0)


OPERATIONS = st.lists(st.sampled_from(["append", "commit", "clear", "vad", "manual", "speech"]), max_size=15)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_any_sequence_keeps_items_whole(operations: list[str]) -> None:
    """Every item is committed at most once and completed right after, and its deltas add up to its transcript."""
    made, log, utterance = codec(), list[dict[str, Any]](), 0
    for operation in operations:
        actions: Sequence[Action] = []
        match operation:
            case "append":
                append(made)
            case "commit" | "clear":
                actions = send(made, {"type": f"input_audio_buffer.{operation}"})
            case "vad" | "manual":
                detection = {"type": "server_vad"} if operation == "vad" else None
                actions = send(made, {"type": "session.update", "session": {"turn_detection": detection}})
            case _:
                append(made)
                spoken = (started(utterance=utterance), partial("a", "b", utterance), final("a b", utterance))
                log += tell(made, *spoken, ended(utterance=utterance))
                utterance += 1
        log += sent(actions)
        if EndUtterance() in actions:
            log += sent(made.utterance_ended(None, 0.0))
    completed = [message["item_id"] for message in log if message["type"].endswith(".completed")]
    committed = [message["item_id"] for message in log if message["type"].endswith(".committed")]
    assert completed == committed
    assert len(set(completed)) == len(completed)
    for message in log:
        if message["type"].endswith(".completed"):
            deltas = [one["delta"] for one in log if "delta" in one and one["item_id"] == message["item_id"]]
            assert "".join(deltas) == message["transcript"]
