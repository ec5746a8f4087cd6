"""Blocks of WebM and Matroska: laced in each of the four ways, or damaged."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.matroska import block_packets
from streaming_asr.errors import AudioError

HEAD = b"\x81\0\0"
"""Track 1, at time 0."""


def xiph(packets: list[bytes]) -> bytes:
    lengths = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets[:-1])
    return HEAD + b"\x02" + bytes([len(packets) - 1]) + lengths + b"".join(packets)


def ebml(packets: list[bytes]) -> bytes:
    """Lengths in two bytes each, all but the first as differences with an offset of 2 ** 13 - 1."""
    sizes = [len(packet) for packet in packets]
    values = [sizes[0], *(after - before + 0x1FFF for before, after in pairwise(sizes[:-1]))]
    lengths = b"".join((0x4000 | value).to_bytes(2, "big") for value in values)
    return HEAD + b"\x06" + bytes([len(packets) - 1]) + lengths + b"".join(packets)


packets_strategy = st.lists(st.binary(max_size=600), min_size=2, max_size=6)


@settings(max_examples=50, deadline=None)
@given(packets_strategy)
def test_laced_packets_come_apart(packets: list[bytes]) -> None:
    assert block_packets(xiph(packets), 1) == packets
    assert block_packets(ebml(packets), 1) == packets


def test_packets_of_one_length_need_no_lengths() -> None:
    assert block_packets(HEAD + b"\x04\x02aabbcc", 1) == [b"aa", b"bb", b"cc"]


def test_a_block_without_lacing_is_one_packet() -> None:
    assert block_packets(HEAD + b"\x80packet", 1) == [b"packet"]


def test_blocks_of_other_tracks_are_left_out() -> None:
    assert block_packets(HEAD + b"\x80packet", 2) == []


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\x81\0",
        b"\0\0\0\0\0",
        HEAD + b"\x02",
        HEAD + b"\x02\x01\x50abc",
        HEAD + b"\x06\x02\x42\x00",
        HEAD + b"\x02\x05",
    ],
)
def test_damaged_blocks_are_refused(block: bytes) -> None:
    with pytest.raises(AudioError, match="the WebM stream is damaged"):
        block_packets(block, 1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_packets_or_an_audio_error(block: bytes) -> None:
    try:
        packets = block_packets(block, 1)
    except AudioError:
        return
    assert sum(map(len, packets)) <= len(block)
