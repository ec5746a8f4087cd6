"""What waits between a connection and its session: joined, bounded, in order."""

from __future__ import annotations

import asyncio

import pytest
from streaming_asr_server.sessions.decoding import AudioFormat
from streaming_asr_server.sessions.inbox import MAXIMUM_CODED_BYTES, MAXIMUM_MESSAGES, AudioPiece, Inbox
from streaming_asr_server.sessions.messages import EndUtterance

pytestmark = pytest.mark.anyio

HALF_SECOND = bytes(16_000)


async def test_audio_is_joined_up_to_a_piece_and_commands_keep_their_places() -> None:
    inbox = Inbox(AudioFormat(), maximum_seconds=5)
    half = HALF_SECOND[: len(HALF_SECOND) // 2]
    for item in (AudioPiece(half), AudioPiece(half), AudioPiece(half), EndUtterance(), AudioPiece(half)):
        inbox.put(item)
    got = [await inbox.get() for _ in range(4)]
    assert got == [AudioPiece(HALF_SECOND, completes=2), AudioPiece(half), EndUtterance(), AudioPiece(half)]
    assert inbox.seconds == 0


async def test_audio_of_different_channels_is_not_joined() -> None:
    inbox = Inbox(AudioFormat("mulaw", 8_000), maximum_seconds=5)
    inbox.put(AudioPiece(b"1", 0))
    inbox.put(AudioPiece(b"2", 1))
    assert [await inbox.get(), await inbox.get()] == [AudioPiece(b"1", 0), AudioPiece(b"2", 1)]


async def test_packets_of_opus_stay_apart() -> None:
    inbox = Inbox(AudioFormat("opus"), maximum_seconds=5)
    inbox.put(AudioPiece(b"1"))
    inbox.put(AudioPiece(b"2"))
    assert [await inbox.get(), await inbox.get()] == [AudioPiece(b"1"), AudioPiece(b"2")]


async def test_raw_audio_is_bounded_in_seconds() -> None:
    inbox = Inbox(AudioFormat(), maximum_seconds=1)
    inbox.put(AudioPiece(HALF_SECOND))
    assert not inbox.full
    inbox.put(AudioPiece(HALF_SECOND))
    waiting = asyncio.create_task(inbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await inbox.get()
    await waiting
    assert inbox.seconds == 0.5


async def test_coded_audio_is_bounded_in_the_seconds_that_its_bytes_have_been_so_far() -> None:
    inbox = Inbox(AudioFormat("container"), maximum_seconds=5)
    inbox.put(AudioPiece(bytes(1_000)))
    assert not inbox.full, "nobody knows yet how long that is"
    inbox.note_decoded(size=100, seconds=1.0)
    assert inbox.seconds == 10
    assert inbox.full


async def test_coded_audio_is_bounded_in_bytes_too() -> None:
    inbox = Inbox(AudioFormat("container"), maximum_seconds=5)
    inbox.put(AudioPiece(bytes(MAXIMUM_CODED_BYTES)))
    assert inbox.full


async def test_messages_without_audio_are_bounded() -> None:
    inbox = Inbox(AudioFormat(), maximum_seconds=5)
    for _ in range(MAXIMUM_MESSAGES):
        assert not inbox.full
        inbox.put(EndUtterance())
    assert inbox.full


async def test_audio_waits_until_there_is_as_much_as_is_wanted() -> None:
    inbox = Inbox(AudioFormat(), maximum_seconds=5)
    inbox.wanted_bytes = 640
    inbox.put(AudioPiece(bytes(320)))
    getting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    assert not getting.done()
    inbox.put(AudioPiece(bytes(320)))
    assert await getting == AudioPiece(bytes(640), completes=2)


async def test_audio_that_waits_goes_before_anything_else_that_comes() -> None:
    inbox = Inbox(AudioFormat(), maximum_seconds=5)
    inbox.wanted_bytes = 640
    inbox.put(AudioPiece(bytes(320)))
    inbox.put(EndUtterance())
    assert [await inbox.get(), await inbox.get()] == [AudioPiece(bytes(320)), EndUtterance()]


@pytest.mark.parametrize("size", [HALF_SECOND, b"1"])
async def test_a_full_inbox_waits_for_nothing(size: bytes) -> None:
    inbox = Inbox(AudioFormat(), maximum_seconds=1)
    inbox.wanted_bytes = 1_000_000
    while not inbox.full:
        inbox.put(AudioPiece(size))
    async with asyncio.timeout(1):
        await inbox.get()
