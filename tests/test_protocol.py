"""The wire protocol: every message, the one table, and what neither end puts up with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from streaming_asr.audio.encodings import ENCODINGS
from streaming_asr.events import (
    Alternative,
    EndReason,
    Final,
    Formatted,
    Partial,
    SpeechEnded,
    SpeechStarted,
    TurnEnding,
    TurnResumed,
    Word,
)
from streaming_asr.protocol import (
    ERRORS,
    TRANSITIONS,
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    Caution,
    ClientEnd,
    ClientMessage,
    ErrorCode,
    Failure,
    Finalize,
    Finish,
    Finished,
    KeepAlive,
    Limits,
    ProtocolError,
    Resume,
    ServerEnd,
    ServerMessage,
    Side,
    Start,
    Started,
    State,
    Update,
    close_is_resumable,
    decode_client,
    decode_server,
    encode,
    transition,
)

DOCS = Path(__file__).parents[1] / "docs"
SCHEMA = json.loads((DOCS / "protocol.schema.json").read_text())
MANUAL = (DOCS / "protocol.md").read_text()


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({**{key: SCHEMA[key] for key in ("$schema", "$defs")}, "$ref": f"#/$defs/{kind}"})


CLIENT_SCHEMA, SERVER_SCHEMA = validator("client_message"), validator("server_message")

SIDES: tuple[Side, Side] = ("client", "server")

names = st.text(min_size=1, max_size=20)
seconds = st.integers(0, 10**9).map(lambda samples: samples / 16_000)
counts = st.integers(0, 2**40)
shares = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
words = st.lists(st.builds(Word, st.text(max_size=9), seconds, seconds, shares, st.booleans()), max_size=3).map(tuple)
hotwords = st.one_of(st.dictionaries(names, st.floats(-100, 100), max_size=4), st.lists(names, max_size=4).map(tuple))
rules: st.SearchStrategy[dict[str, float | str | None]] = st.fixed_dictionaries(
    {},
    optional={
        "trailing_silence_ms": st.one_of(st.none(), st.floats(50, 60_000)),
        "no_words_ms": st.one_of(st.none(), st.floats(50, 60_000)),
        "maximum_length_ms": st.floats(1_000, 120_000),
        "turn": st.sampled_from(["fixed", "adaptive"]),
        "shortest_silence_ms": st.floats(50, 60_000),
        "longest_silence_ms": st.floats(50, 60_000),
    },
)
starts = st.builds(
    Start,
    encoding=st.sampled_from(ENCODINGS),
    sample_rate=st.integers(8_000, 192_000),
    channels=st.integers(1, 8),
    language=st.one_of(st.none(), st.text(max_size=35)),
    hotwords=hotwords,
    endpoint=rules,
    partials=st.booleans(),
    partial_interval_ms=st.integers(0, 60_000),
    word_times=st.booleans(),
    alternatives=st.integers(1, 10),
    stability=st.sampled_from(["low", "medium", "high"]),
    formatted=st.booleans(),
    resume=st.one_of(st.none(), st.builds(Resume, session=names, acknowledged=counts, utterance=counts)),
)
formatted = st.one_of(st.none(), st.builds(Formatted, st.text(max_size=9), st.text(max_size=9), words, st.booleans()))
finals = st.builds(
    Final,
    utterance=counts,
    text=st.text(max_size=30),
    words=words,
    start=seconds,
    end=seconds,
    confidence=shares,
    alternatives=st.lists(st.builds(Alternative, st.text(max_size=9), seconds, words), max_size=2).map(tuple),
    reason=st.sampled_from(get_args(EndReason)),
    lag=seconds,
    formatted=formatted,
)
client_messages: st.SearchStrategy[ClientMessage] = st.one_of(
    starts,
    st.builds(Update, hotwords=st.one_of(st.none(), hotwords), endpoint=st.one_of(st.none(), rules)),
    st.sampled_from([Finalize(), Finish(), KeepAlive()]),
    st.builds(Audio, st.binary(max_size=20)),
)
server_messages: st.SearchStrategy[ServerMessage] = st.one_of(
    st.builds(
        Started,
        session=names,
        model=st.text(max_size=9),
        first_sample=counts,
        resumed=st.sampled_from(["no", "session", "position"]),
        options=starts.filter(lambda start: start.resume is None),
        unspellable=st.lists(names, max_size=2).map(tuple),
        limits=st.just(Limits()),
    ),
    st.builds(SpeechStarted, counts, seconds, seconds),
    st.builds(
        Partial, counts, st.text(max_size=9), st.text(max_size=9), words, *[seconds] * 3, formatted, st.booleans()
    ),
    st.builds(TurnEnding, counts, st.text(max_size=9), seconds, shares, seconds, formatted),
    st.builds(TurnResumed, counts, seconds, seconds),
    st.builds(AcknowledgedFinal, finals, counts),
    st.builds(SpeechEnded, counts, seconds, st.sampled_from(get_args(EndReason)), seconds),
    st.builds(Acknowledged, counts),
    st.builds(Caution, names, names),
    st.builds(
        Failure, st.sampled_from(get_args(ErrorCode)), st.sampled_from(["client", "server"]), names, st.booleans()
    ),
    st.builds(Finished, counts, seconds),
)


@settings(max_examples=100)
@given(client_messages)
def test_what_a_client_sends_is_what_the_server_reads(message: ClientMessage) -> None:
    data = encode(message)
    assert decode_client(data) == message
    if isinstance(data, str):
        CLIENT_SCHEMA.validate(json.loads(data))


@settings(max_examples=100)
@given(server_messages)
def test_what_a_server_sends_is_what_the_client_reads(message: ServerMessage) -> None:
    data = encode(message)
    assert decode_server(data) == message
    SERVER_SCHEMA.validate(json.loads(data))


def test_a_client_of_a_newer_server_passes_over_fields_it_does_not_know() -> None:
    assert decode_server('{"type":"acknowledged","samples":7,"mood":"good"}') == Acknowledged(7)


@pytest.mark.parametrize(
    "wrong",
    [
        '{"type": "start", "sample_rate": 7999}',
        '{"type": "start", "sample_rate": "16000"}',
        '{"type": "start", "sample_rate": true}',
        '{"type": "start", "channels": 0}',
        '{"type": "start", "encoding": "opus"}',
        '{"type": "start", "encoding": ["linear16"]}',
        '{"type": "start", "smaple_rate": 16000}',
        '{"type": "start", "hotwords": {"a": "much"}}',
        '{"type": "start", "hotwords": {"": 1}}',
        '{"type": "start", "hotwords": "word"}',
        '{"type": "start", "hotwords": [1]}',
        '{"type": "start", "hotwords": {"a": 101}}',
        '{"type": "start", "endpoint": {"maximum_length_ms": null}}',
        '{"type": "start", "endpoint": {"silence": 3}}',
        '{"type": "start", "endpoint": []}',
        '{"type": "start", "alternatives": 11}',
        '{"type": "start", "language": 3}',
        '{"type": "start", "resume": {"session": "x", "acknowledged": -1, "utterance": 0}}',
        '{"type": "start", "resume": {"session": "x"}}',
        '{"type": "finish", "now": true}',
        '{"type": "update", "sample_rate": 8000}',
        '{"type": "started"}',
        '{"type": "begin"}',
        '{"sample_rate": 16000}',
        "[]",
        "3",
    ],
)
def test_schema_and_server_refuse_the_same_client_messages(wrong: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_client(wrong)
    assert refused.value.kind.fault == "client"
    with pytest.raises(ValidationError):
        CLIENT_SCHEMA.validate(json.loads(wrong))


@pytest.mark.parametrize("wrong", ["", "{", "[" * 100_000, '{"type": "start", "hotwords": {"a": NaN}}', '{"type": 1}'])
def test_what_is_not_json_is_a_bad_message(wrong: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_client(wrong)
    assert refused.value.code == "bad_message"
    assert len(str(refused.value)) < 300


def test_audio_is_kept_before_the_start_is_answered_but_not_before_the_start() -> None:
    server = ServerEnd()
    with pytest.raises(ProtocolError) as refused:
        server.receive(b"1234")
    assert refused.value.code == "out_of_order"
    server = ServerEnd()
    server.receive(encode(Start()))
    assert server.receive(b"1234") == Audio(b"1234")
    assert server.state is State.STARTING


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 8))
@settings(max_examples=50)
def test_audio_cut_anywhere_comes_in_whole_frames(data: bytes, cuts: list[int], channels: int) -> None:
    server = ServerEnd()
    server.receive(encode(Start(channels=channels)))
    heard = b""
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        message = server.receive(data[start:stop])
        assert isinstance(message, Audio)
        assert len(message.data) % (2 * channels) == 0
        heard += message.data
    assert heard == data[: len(data) - len(data) % (2 * channels)]


def test_oversized_messages_are_refused() -> None:
    server = ServerEnd(maximum_audio_bytes=100)
    server.receive(encode(Start()))
    with pytest.raises(ProtocolError) as refused:
        server.receive(bytes(101))
    assert refused.value.code == "too_big"


def test_after_a_failure_the_client_is_not_heard_and_nothing_more_is_said() -> None:
    server = ServerEnd()
    text = server.fail(ProtocolError("idle", "no message"))
    assert text is not None
    SERVER_SCHEMA.validate(json.loads(text))
    assert server.receive('{"type": "nonsense"') is None
    assert server.fail(ProtocolError("idle", "no message")) is None
    with pytest.raises(ProtocolError):
        server.send(Acknowledged(1))


frames = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=30),
    client_messages.map(encode),
    server_messages.map(encode),
    st.sampled_from([encode(Start()), encode(Finish()), encode(Finalize()), b"\0\0"]),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    ).map(json.dumps),
)


def received(server: ServerEnd, data: str | bytes) -> tuple[ClientMessage | None, ProtocolError | None]:
    try:
        return server.receive(data), None
    except ProtocolError as error:
        return None, error


@settings(max_examples=100)
@given(st.lists(frames, max_size=12))
def test_any_sequence_of_frames_leaves_the_server_in_a_documented_state(sequence: list[str | bytes]) -> None:
    server = ServerEnd(maximum_audio_bytes=1000)
    for data in sequence:
        before = server.state
        message, error = received(server, data)
        assert error is not None or (message is None) == (before is State.FAILED)
        if error is not None and (text := server.fail(error)) is not None:
            SERVER_SCHEMA.validate(json.loads(text))
            assert (error.kind.fault, server.state) == ("client", State.FAILED)
    assert f"`{server.state.name}`" in MANUAL


@settings(max_examples=100)
@given(st.lists(frames, max_size=12))
def test_any_sequence_of_frames_leaves_the_client_in_a_documented_state(sequence: list[str | bytes]) -> None:
    client = ClientEnd()
    client.send(Start())
    for data in sequence:
        before = client.state
        try:
            client.receive(data)
        except ProtocolError:
            assert client.state is before
    assert f"`{client.state.name}`" in MANUAL


def manual_table(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the manual, without its two header lines."""
    section = MANUAL.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_manual_has_the_errors_that_the_code_has() -> None:
    documented = {
        code.strip("`"): (fault, int(close), resumable == "yes")
        for code, fault, close, resumable, _ in manual_table("Errors and close codes")
        if code
    }
    assert documented == {code: (kind.fault, kind.close_code, kind.resumable) for code, kind in ERRORS.items()}


def test_the_manual_has_the_transitions_that_the_code_has() -> None:
    rows = {state.strip("`"): (client, server) for state, client, server in manual_table("States")}
    assert list(rows) == [state.name for state in State]
    for state in State:
        for side, cell in zip(SIDES, rows[state.name], strict=True):
            assert described(cell, state, rows) == {
                kind: following.name for kind, following in TRANSITIONS[side][state].items()
            }


def described(cell: str, state: State, rows: dict[str, tuple[str, str]]) -> dict[str, str]:
    """The transitions that a cell of the table tells in words: kinds, and for some an arrow to another state."""
    moves: dict[str, str] = {}
    if cell.startswith("all"):
        return dict.fromkeys(("start", "audio", "update", "finalize", "finish", "keepalive"), state.name)
    for part in re.split(r"[;,]", cell):
        if "as in `STREAMING`" in part:
            moves |= described(rows["STREAMING"][1], state, rows)
        kinds = re.findall(r"\baudio\b|`([a-z_]+)`", part)
        arrow = re.search(r"→ `([A-Z]+)`", part)
        for kind in kinds:
            moves[kind or "audio"] = arrow[1] if arrow else state.name
    return moves


def test_no_close_code_promises_what_no_error_with_it_allows() -> None:
    assert not close_is_resumable(1000)
    assert not close_is_resumable(4400)
    for code in (None, 1001, 1006, 1011, 1012, 4408, 4500):
        assert close_is_resumable(code)


def test_every_state_can_end() -> None:
    """From every state that is not an end, some way leads to FINISHED or FAILED."""
    ends = {State.FINISHED, State.FAILED}
    for state in State:
        reached, front = {state}, [state]
        while front:
            here = front.pop()
            for side in SIDES:
                kinds: Any = TRANSITIONS[side][here]
                for kind in kinds:
                    following = transition(here, side, kind)
                    if following is not None and following not in reached:
                        reached.add(following)
                        front.append(following)
        assert reached & ends
