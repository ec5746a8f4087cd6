"""Twilio's media streams, driven by scripted events, and on a real socket: the test plays Twilio."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.adapter.interface import AudioFormat, CodecFailure, EndStream, OpenStream, PushAudio
from streaming_asr_server.connection.outbox import Close
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.protocols.twilio.clock import LONGEST_FILL_MS, TrackClock
from streaming_asr_server.protocols.twilio.codec import TwilioCodec
from streaming_asr_server.protocols.twilio.messages import Call
from streaming_asr_server.protocols.twilio.signature import is_signed, signature, spellings
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming_asr.audio.encodings import mulaw_table
from streaming_asr.audio.samples import Samples
from streaming_asr.events import Final, Partial, SpeechEnded, SpeechStarted, Word
from tests.server.speaking import until

TOKEN = "the-token-of-the-account"
CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
STOP = '{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}'


def start(*tracks: str, **parameters: str) -> str:
    body = {
        "streamSid": "MZ1",
        "accountSid": "AC1",
        "callSid": "CA1",
        "tracks": list(tracks or ("inbound",)),
        "customParameters": parameters,
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": body})


def media(data: bytes, timestamp: int | None = None, track: str = "inbound") -> str:
    body = {"track": track, "chunk": "1", "payload": base64.b64encode(data).decode()}
    body |= {} if timestamp is None else {"timestamp": str(timestamp)}
    return json.dumps({"event": "media", "sequenceNumber": "3", "streamSid": "MZ1", "media": body})


class Listener:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def __call__(self, call: Call, message: Mapping[str, Any]) -> None:
        assert (message["stream_sid"], message["call_sid"]) == (call.stream_sid, call.call_sid)
        self.told.append(dict(message))

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.told]


def streaming(*tracks: str, **parameters: str) -> tuple[TwilioCodec, Listener]:
    listener = Listener()
    codec = TwilioCodec(listener)
    assert codec.receive(CONNECTED) == []
    assert isinstance(codec.receive(start(*tracks, **parameters))[0], OpenStream)
    return codec, listener


def test_each_track_is_a_channel_of_its_own() -> None:
    codec, listener = streaming("inbound", "outbound")
    assert codec.receive(media(b"\1\2", track="outbound")) == [PushAudio(b"\1\2", 1)]
    assert codec.receive(media(b"\3", track="inbound")) == [PushAudio(b"\3", 0)]
    assert codec.receive(media(b"\3", track="another")) == [], "it was not announced"
    codec.event(1, SpeechStarted(0, 0.5, 0.0))
    assert listener.told[0] == {
        "type": "call_started",
        "stream_sid": "MZ1",
        "call_sid": "CA1",
        "tracks": ["inbound", "outbound"],
        "parameters": {},
    }
    assert listener.told[1] == {
        "type": "speech_started",
        "utterance": 0,
        "time": 0.5,
        "lag": 0.0,
        "stream_sid": "MZ1",
        "call_sid": "CA1",
        "track": "outbound",
    }


def test_options_come_as_parameters_of_the_call() -> None:
    listener = Listener()
    parameters = {"language": "en", "hotwords": "Ada, two words:5, bad:x", "partials": "false", "other": "1"}
    (opened,) = TwilioCodec(listener).receive(start(**parameters))
    assert opened == OpenStream(
        audio=AudioFormat("mulaw", 8_000, 1, separate=True),
        hotwords={"Ada": 10.0, "two words": 5.0, "bad": 10.0},
        language="en",
        partials=False,
    )
    assert listener.told[0]["parameters"] == parameters


def test_events_are_told_in_the_native_shape() -> None:
    codec, listener = streaming()
    word = Word("hello", 0.5, 0.75, 0.9)
    codec.event(0, Partial(0, "hel", "lo", (word,), 0.5, 0.75, 0.1))
    codec.event(0, Final(0, "hello", (word,), 0.5, 0.75, 0.9, (), "silence", 0.1))
    codec.event(0, SpeechEnded(0, 0.75, "silence", 0.0))
    assert listener.kinds()[1:] == ["partial", "final", "speech_ended"]
    assert listener.told[2] == {
        "type": "final",
        "utterance": 0,
        "text": "hello",
        "start": 0.5,
        "end": 0.75,
        "confidence": 0.9,
        "reason": "silence",
        "lag": 0.1,
        "words": [{"text": "hello", "start": 0.5, "end": 0.75, "confidence": 0.9}],
        "stream_sid": "MZ1",
        "call_sid": "CA1",
        "track": "inbound",
    }


def test_stop_flushes_and_the_end_is_told_once() -> None:
    codec, listener = streaming()
    assert codec.receive(STOP) == [EndStream()]
    assert codec.receive(media(b"\1")) == codec.receive("nonsense") == []
    assert codec.finished(2.0) == [Close(1000)]
    codec.lost()
    assert listener.kinds() == ["call_started", "call_ended"]
    assert (listener.told[-1]["reason"], listener.told[-1]["duration"]) == ("stop", 2.0)


def test_a_lost_connection_and_a_failure_are_told_too() -> None:
    codec, listener = streaming()
    codec.lost()
    assert listener.told[-1]["reason"] == "lost"
    codec, listener = streaming()
    assert codec.failed(CodecFailure("server", "it broke")) == [Close(1011, "it broke")]
    assert (listener.told[-1]["reason"], listener.told[-1]["message"]) == ("server", "it broke")


def test_keys_are_told_and_everything_else_is_tolerated() -> None:
    codec, listener = streaming()
    digit = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "7"}}
    others = ['{"event":"mark","mark":{"name":"x"}}', '{"event":"new"}', start(), CONNECTED, media(b"")]
    for message in (json.dumps(digit), *others):
        assert codec.receive(message) == []
    assert listener.kinds() == ["call_started", "dtmf"]
    assert (listener.told[1]["track"], listener.told[1]["digit"]) == ("inbound", "7")


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "[]",
        '{"type":"start"}',
        '{"event":"media"}',
        '{"event":"start"}',
        '{"event":"start","start":{}}',
        '{"event":"start","start":{"streamSid":"M","mediaFormat":{"encoding":"audio/ogg"}}}',
        '{"event":"start","start":{"streamSid":"M","mediaFormat":{"sampleRate":1}}}',
        '{"event":"media","media":{"payload":"*"}}',
    ],
)
def test_what_twilio_does_not_say_ends_the_connection(message: str) -> None:
    (close,) = TwilioCodec(Listener()).receive(message)
    assert isinstance(close, Close)
    assert close.code == 1007


def test_media_before_the_start_is_dropped_and_a_stop_closes() -> None:
    codec = TwilioCodec(Listener())
    assert codec.receive(media(b"\1")) == []
    assert codec.receive(STOP) == [Close(1000)]


MESSAGES = st.one_of(
    st.sampled_from([CONNECTED, STOP, start(), start("inbound", "outbound"), "nonsense", "{}"]),
    st.builds(media, st.binary(max_size=4), st.integers(0, 10**6) | st.none(), st.sampled_from(["inbound", "x"])),
    st.dictionaries(
        st.sampled_from(["event", "start", "media", "dtmf"]),
        st.sampled_from(["start", "media", "dtmf"]) | st.integers() | st.dictionaries(st.text(max_size=2), st.none()),
    ).map(json.dumps),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=12))
def test_any_sequence_of_messages_leaves_the_codec_in_a_documented_state(raw: list[str]) -> None:
    listener = Listener()
    codec, opened, over = TwilioCodec(listener), 0, False
    for message in raw:
        actions = codec.receive(message)
        assert not over or actions == []
        opened += sum(isinstance(action, OpenStream) for action in actions)
        assert opened == 1 or all(isinstance(action, Close) for action in actions)
        over = over or any(isinstance(action, EndStream | Close) for action in actions)
    codec.lost()
    assert opened <= 1
    assert listener.kinds().count("call_started") == listener.kinds().count("call_ended") == opened


# The clock of a track.


def test_a_pause_is_heard_as_silence() -> None:
    clock = TrackClock("mulaw", 8_000)
    assert clock.before(bytes(160), 0) == b""
    assert clock.before(bytes(160), 45) == b"", "timestamps waver"
    assert clock.before(bytes(160), 1_040) == b"\xff" * 8_000
    assert clock.time(1.0) == 1.0


def test_a_long_pause_moves_the_clock() -> None:
    clock = TrackClock("mulaw", 8_000)
    clock.before(bytes(8_000), 0)
    assert len(clock.before(bytes(8_000), 61_000)) == LONGEST_FILL_MS * 8
    assert (clock.time(0.5), clock.time(6.5)) == (0.5, 61.5)
    clock.before(bytes(8_000), 122_000)
    assert clock.time(6.5 + 6.0) == 122.5
    assert clock.before(bytes(160), 0) == b"", "time does not run backwards"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 10**9) | st.none()), max_size=20))
def test_times_never_run_backwards(pieces: list[tuple[int, int | None]]) -> None:
    clock = TrackClock("alaw", 8_000)
    for size, timestamp in pieces:
        assert len(clock.before(bytes(size), timestamp)) <= LONGEST_FILL_MS * 8
    times = [clock.time(second / 4) for second in range(400)]
    assert times == sorted(times)


# The signature.


def test_a_signature_is_that_of_twilios_documentation() -> None:
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, fields) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    "signed",
    [
        "wss://asr.example/v1/twilio",
        "wss://asr.example/v1/twilio/",
        "wss://asr.example:443/v1/twilio",
        "ws://asr.example/v1/twilio",
    ],
)
def test_an_address_may_be_spelled_in_several_ways(signed: str) -> None:
    made = signature(TOKEN, signed)
    assert is_signed(TOKEN, spellings("wss://asr.example/v1/twilio"), made)
    assert not is_signed(TOKEN, spellings("wss://asr.example/v1/other"), made)
    assert not is_signed("another", spellings("wss://asr.example/v1/twilio"), made)


@pytest.mark.parametrize("presented", [None, "", "é", "AAAA"])
def test_no_signature_is_a_bad_one(presented: str | None) -> None:
    assert not is_signed(TOKEN, spellings("ws://127.0.0.1:8765/v1/twilio"), presented)


# On a real socket.

KEYS = ApiKeys({hash_key("good"): Principal(name="ali")})
SAID = [0, 0, 300, 400, 0, 0, 0, 500]


def mulaw(samples: Samples) -> bytes:
    """By the nearest value of the table."""
    table = mulaw_table()
    order = np.argsort(table, kind="stable")
    edges = (table[order][1:] + table[order][:-1]) / 2
    return order[np.searchsorted(edges, samples)].astype(np.uint8).tobytes()


def call(numbers: Sequence[int], track: str = "inbound") -> list[str]:
    """Media messages of 20 ms; sines, because a resampler has to let them through."""
    time = np.arange(800) / 8_000
    tone = np.sin(2 * np.pi * 440 * time) * np.pi / 2
    audio = mulaw(np.concatenate([tone * number / 1000 for number in numbers]).astype(np.float32))
    return [media(audio[at : at + 160], at // 8, track) for at in range(0, len(audio), 160)]


def heard(messages: Sequence[Mapping[str, Any]], track: str = "inbound") -> list[list[int]]:
    """The words of the finals of a track, rounded to hundreds."""
    finals = [message for message in messages if message["type"] == "final" and message["track"] == track]
    return [[round(int(word[1:]), -2) for word in final["text"].split()] for final in finals]


async def hear_out(websocket: ClientConnection) -> list[dict[str, Any]]:
    messages = []
    try:
        async with asyncio.timeout(10):
            while True:
                messages.append(json.loads(await websocket.recv()))
    except ConnectionClosed:
        return messages


async def play(websocket: ClientConnection, *messages: str) -> None:
    for message in messages:
        await websocket.send(message)


@asynccontextmanager
async def serving(keys: ApiKeys | None = None, **options: Any) -> AsyncIterator[LocalServer]:
    async with local_server(ScriptedRecognition, Settings(**options), keys=keys) as server:
        yield server


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["MZ1", "CA1"])
async def test_a_call_from_its_start_to_its_end(name: str) -> None:
    async with serving() as server, connect(f"{server.url}/v1/twilio/{name}/events") as listener:
        async with connect(f"{server.url}/v1/twilio") as twilio:
            await play(twilio, CONNECTED, start("inbound", "outbound"))
            for one, other in zip(call(SAID), call([0, 600, 0, 0, 0, 0, 0, 0], "outbound"), strict=True):
                await play(twilio, one, other)
            await play(twilio, STOP)
            assert await hear_out(twilio) == [], "nothing is said to Twilio"
            assert twilio.close_code == 1000
        messages = await hear_out(listener)
        assert listener.close_code == 1000
    assert (heard(messages), heard(messages, "outbound")) == ([[300, 400], [500]], [[600]])
    kinds = [message["type"] for message in messages]
    assert (kinds[0], kinds[-1]) == ("call_started", "call_ended")
    assert kinds.index("partial") < kinds.index("final")
    assert messages[-1]["duration"] == pytest.approx(0.8)


@pytest.mark.anyio
async def test_one_who_comes_late_hears_what_was_final() -> None:
    async with serving() as server, connect(f"{server.url}/v1/twilio") as twilio:
        await play(twilio, start(), *call(SAID))
        async with asyncio.timeout(5), connect(f"{server.url}/v1/twilio/CA1/events") as listener:
            while json.loads(await listener.recv())["type"] != "final":
                pass
        async with connect(f"{server.url}/v1/twilio/CA1/events") as listener:
            await play(twilio, STOP)
            messages = await hear_out(listener)
    assert heard(messages) == [[300, 400], [500]]
    assert messages[0]["type"] == "call_started"


@pytest.mark.anyio
async def test_a_call_that_is_cut_off_is_still_recognized_to_its_last_word() -> None:
    async with serving(max_streams=1) as server:
        for _ in range(2):
            async with connect(f"{server.url}/v1/twilio/CA1/events") as listener:
                async with connect(f"{server.url}/v1/twilio") as twilio:
                    await play(twilio, start(), *call([0, 300, 400]))
                    twilio.transport.close()
                messages = await hear_out(listener)
            assert heard(messages) == [[300, 400]]
            assert messages[-1]["type"] == "call_ended"
            await until(lambda: not server.service.admission.streams and not len(server.service.sessions))


@pytest.mark.anyio
async def test_a_pause_of_a_track_ends_its_utterance() -> None:
    async with serving() as server, connect(f"{server.url}/v1/twilio/CA1/events") as listener:
        async with connect(f"{server.url}/v1/twilio") as twilio:
            later = [json.loads(message) for message in call([500])]
            for message in later:
                message["media"]["timestamp"] = str(int(message["media"]["timestamp"]) + 20_000)
            await play(twilio, start(), *call([300, 400]), *map(json.dumps, later), STOP)
            await hear_out(twilio)
        messages = await hear_out(listener)
    assert heard(messages) == [[300, 400], [500]]
    last = [message for message in messages if message["type"] == "final"][-1]
    assert last["start"] == pytest.approx(20.0, abs=0.11)


async def status(url: str, **headers: str) -> int:
    try:
        async with connect(url, additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.anyio
async def test_only_twilio_may_call_when_its_token_is_known() -> None:
    async with serving(KEYS, twilio_auth_token=TOKEN) as server:
        url = f"{server.url}/v1/twilio"
        good = {"X-Twilio-Signature": signature(TOKEN, url)}
        assert await status(url, **good) == 101
        assert await status(url, **{"X-Twilio-Signature": signature("another", url)}) == 403
        assert await status(url, Authorization="Bearer good") == 403, "a key is no signature"
        assert await status(f"{url}/CA1/events", **good) == 401
        assert await status(f"{url}/CA1/events", Authorization="Bearer good") == 101


@pytest.mark.anyio
async def test_a_host_that_cannot_be_is_refused() -> None:
    async with serving(twilio_auth_token=TOKEN) as server:
        assert await status(f"{server.url}/v1/twilio", Host="asr.example:99999") == 400


@pytest.mark.anyio
async def test_behind_a_proxy_the_address_is_an_option() -> None:
    public = "wss://asr.example/v1/twilio"
    async with serving(twilio_auth_token=TOKEN, twilio_url=public) as server:
        url = f"{server.url}/v1/twilio"
        assert await status(url, **{"X-Twilio-Signature": signature(TOKEN, public)}) == 101
        assert await status(url, **{"X-Twilio-Signature": signature(TOKEN, url)}) == 403
        assert await status(f"{url}/CA1/events") == 401, "on a server without keys, the token opens"
        assert await status(f"{url}/CA1/events", Authorization=f"Bearer {TOKEN}") == 101


@pytest.mark.anyio
async def test_a_server_with_keys_and_no_token_wants_a_key() -> None:
    async with serving(KEYS) as server:
        assert await status(f"{server.url}/v1/twilio") == 401
        assert await status(f"{server.url}/v1/twilio", Authorization="Bearer good") == 101


@pytest.mark.anyio
async def test_a_full_server_refuses_the_call_and_not_who_listens() -> None:
    async with serving(max_streams=1) as server, connect(f"{server.url}/v1/twilio"):
        assert await status(f"{server.url}/v1/twilio") == 503
        assert await status(f"{server.url}/v1/twilio/CA1/events") == 101


@pytest.mark.anyio
async def test_those_who_listen_are_bounded() -> None:
    async with serving(max_streams=1) as server:
        url = f"{server.url}/v1/twilio/CA1/events"
        async with connect(url), connect(url), connect(url), connect(url):
            assert await status(url) == 503
        async with asyncio.timeout(5):
            while await status(url) != 101:
                pass


@pytest.mark.anyio
async def test_nobody_waits_for_ever_for_a_call() -> None:
    async with serving(idle_seconds=0.2) as server, connect(f"{server.url}/v1/twilio/none/events") as listener:
        assert await hear_out(listener) == []
        assert listener.close_code == 4404


@pytest.mark.anyio
async def test_a_language_that_the_model_has_not_is_told_to_those_who_listen() -> None:
    async with serving() as server, connect(f"{server.url}/v1/twilio/CA1/events") as listener:
        async with connect(f"{server.url}/v1/twilio") as twilio:
            await play(twilio, start(language="fr"), *call([300]))
            await hear_out(twilio)
            assert twilio.close_code == 1008
        messages = await hear_out(listener)
    assert messages[-1]["type"] == "call_ended"
    assert "fr" in messages[-1]["message"]


@pytest.mark.anyio
async def test_what_is_said_goes_to_the_webhook_signed() -> None:
    received: list[tuple[dict[str, str], bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head if line)}
        received.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    hook = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{hook.sockets[0].getsockname()[1]}/said"
    async with hook, serving(webhook_url=url, webhook_secret="s3cret") as server:
        async with connect(f"{server.url}/v1/twilio") as twilio:
            await play(twilio, start(), *call(SAID), STOP)
            await hear_out(twilio)
        await until(lambda: len(received) == 4)
    assert [json.loads(body)["type"] for _, body in received] == ["call_started", "final", "final", "call_ended"]
    assert heard([json.loads(body) for _, body in received]) == [[300, 400], [500]]
    for headers, body in received:
        stamp, _, digest = headers["x-streaming-asr-signature"].partition(",v1=")
        signed = stamp.removeprefix("t=").encode() + b"." + body
        assert hmac.new(b"s3cret", signed, "sha256").hexdigest() == digest
