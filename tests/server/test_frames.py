"""The plainest frames, read without a parser: as `websockets` reads them, or not at all."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from streaming_asr_server.frames import FrameBorders, plain_message
from streaming_asr_server.offers import Offers
from streaming_asr_server.running import FlowControlledWebSocket
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from tests.server.speaking import until

pytestmark = pytest.mark.anyio

LONGEST = 16 * 1024
SIZES = (0, 1, 125, 126, 127, 640, 65_535, 65_536)


def frame(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


@pytest.mark.parametrize("size", SIZES)
def test_a_small_message_is_read_wherever_it_begins(size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    data = b"before" + frame(message) + b"after"
    assert plain_message(data, 6, LONGEST) == ((message, len(data) - 5) if size <= LONGEST else None)


@pytest.mark.parametrize("size", SIZES)
def test_a_part_of_a_frame_is_nothing(size: int) -> None:
    data = frame(bytes(size))
    assert all(plain_message(data[:end], 0, LONGEST) is None for end in (*range(14), len(data) - 1) if end < len(data))


def test_what_is_no_whole_masked_binary_message_is_left() -> None:
    others = [frame(b"a", opcode) for opcode in Opcode if opcode is not Opcode.BINARY]
    others += [frame(b"a", fin=False), frame(b"a", mask=False), b"\xc2\x81abcde"]
    assert all(plain_message(other, 0, LONGEST) is None for other in others)


@given(
    st.lists(st.tuples(st.sampled_from(SIZES), st.booleans()), max_size=5),
    st.lists(st.integers(0, 200_000), max_size=12),
)
def test_where_frames_begin_is_known_however_they_are_cut(sizes: list[tuple[int, bool]], cuts: list[int]) -> None:
    data, begins = b"", {0}
    for size, mask in sizes:
        data += frame(bytes(size), mask=mask)
        begins.add(len(data))
    borders = FrameBorders()
    for start, end in pairwise([0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]):
        borders.follow(data[start:end])
        assert borders.here == (end in begins)


class Wire(asyncio.Transport):
    """A socket that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Socket:
    """A websocket of the server that was let in; what comes is either taken by the offer or received."""

    def __init__(self, *, taking: bool = True) -> None:
        self.taking = taking
        self.taken: list[str | bytes] = []
        self.received: list[str | bytes] = []
        config = uvicorn.Config(
            self._application, ws_per_message_deflate=False, ws_ping_interval=None, interface="asgi3"
        )
        config.load()
        self.protocol = FlowControlledWebSocket(config, ServerState(), {})
        self.parsed: list[bytes] = []
        self._parse = self.protocol.conn.receive_data
        self.protocol.conn.receive_data = self._note  # type: ignore[method-assign]
        self.wire = Wire()

    def _note(self, data: bytes | bytearray) -> None:
        self.parsed.append(bytes(data))
        self._parse(data)

    def _offer(self, message: str | bytes) -> bool:
        if self.taking:
            self.taken.append(message)
        return self.taking

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        scope["extensions"][Offers.KEY].offer = self._offer
        while (message := await receive())["type"] == "websocket.receive":
            self.received.append(message["bytes"] if message.get("text") is None else message["text"])

    async def open(self) -> None:
        client = ClientProtocol(parse_uri("ws://localhost/"))
        client.send_request(client.connect())
        self.protocol.connection_made(self.wire)
        self.protocol.data_received(b"".join(client.data_to_send()))
        await until(lambda: self.wire.written.startswith(b"HTTP/1.1 101"))
        self.parsed.clear()

    def feed(self, data: bytes) -> None:
        """As the transport brings it."""
        for at in range(0, len(data), 4096):
            piece = data[at : at + 4096]
            self.protocol.get_buffer(-1)[: len(piece)] = piece
            self.protocol.buffer_updated(len(piece))


async def test_small_messages_are_taken_without_the_parser() -> None:
    socket = Socket()
    await socket.open()
    socket.feed(frame(b"first"))
    socket.feed(frame(b"second") + frame(b"third"))
    assert socket.taken == [b"first", b"second", b"third"]
    assert socket.parsed == []


async def test_what_follows_a_message_that_is_not_taken_waits_behind_it() -> None:
    socket = Socket(taking=False)
    await socket.open()
    socket.feed(frame(b"first") + frame(b"second"))
    socket.taking = True
    socket.feed(frame(b"third"))
    assert socket.taken == []
    await until(lambda: len(socket.received) == 3)
    assert socket.received == [b"first", b"second", b"third"]
    socket.feed(frame(b"fourth"))
    assert socket.taken == [b"fourth"]


async def test_nothing_is_taken_after_the_client_has_closed() -> None:
    socket = Socket()
    await socket.open()
    socket.feed(frame(b"first"))
    socket.feed(frame(b"\x03\xe8", Opcode.CLOSE) + frame(b"second"))
    socket.feed(frame(b"third"))
    assert socket.taken == [b"first"]


async def test_a_message_within_a_message_is_an_error_as_ever() -> None:
    socket = Socket()
    await socket.open()
    socket.feed(frame(b"first"))
    socket.feed(frame(b"begun", fin=False))
    socket.feed(frame(b"within"))
    assert socket.taken == [b"first"]
    assert socket.protocol.conn.close_sent is not None
    assert socket.protocol.conn.close_sent.code == 1002


MESSAGES = st.lists(
    st.one_of(
        st.binary(max_size=700),
        st.text(max_size=20),
        st.integers(17_000, 70_000).map(bytes),
        st.just(None),
    ),
    max_size=12,
)


@given(
    messages=MESSAGES, cuts=st.lists(st.integers(0, 100_000), max_size=8), taking=st.lists(st.booleans(), max_size=8)
)
async def test_any_cut_of_any_messages_gives_all_of_them_in_order(
    messages: list[str | bytes | None], cuts: list[int], taking: list[bool]
) -> None:
    """None is a ping. Whatever is taken or left, nothing is lost, doubled or out of order."""
    socket = Socket()
    await socket.open()
    order: list[str | bytes] = []
    socket.taken = socket.received = order
    data = b"".join(
        frame(b"", Opcode.PING)
        if message is None
        else frame(message.encode(), Opcode.TEXT)
        if isinstance(message, str)
        else frame(message)
        for message in messages
    )
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for number, (start, end) in enumerate(pairwise(places)):
        socket.taking = taking[number % len(taking)] if taking else True
        socket.feed(data[start:end])
        await asyncio.sleep(0)
    expected = [message for message in messages if message is not None]
    await until(lambda: len(order) == len(expected))
    assert order == expected
