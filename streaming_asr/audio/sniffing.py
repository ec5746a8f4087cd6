"""What bytes are, told from the first of them: a container, raw samples, or no audio at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from streaming_asr.audio.encodings import container_name
from streaming_asr.audio.mpeg import adts_header, mp3_header

FEW_BYTES: Final = 64
"""So many first bytes tell most containers."""
ENOUGH_BYTES: Final = 8192
"""So many first bytes tell all of them: several packets of a stream that has no header."""

_MAGIC: Final = (
    (4, b"ftyp"),
    (4, b"moov"),
    (0, b"FLV\x01"),
    (0, b"#!AMR"),
    (0, b"riff\x2e\x91\xcf\x11"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"wvpk"),
    (0, b"MAC "),
    (0, b"TTA1"),
    (0, b"\x0b\x77"),
    (0, b"\x06\x0e\x2b\x34"),
)
"""Where it stands and what: MP4, FLV, AMR, Wave64, ASF, MPEG-PS, WavPack, Monkey's Audio, TTA, AC-3, MXF."""


def is_container(head: bytes) -> bool:
    """Whether bytes, `ENOUGH_BYTES` of them if there are so many, begin a file that says itself what it holds."""
    if container_name(head) is not None or head.startswith(b"ID3"):
        return True
    if any(head.startswith(magic, at) for at, magic in _MAGIC):
        return True
    return any(_is_chain(head, length) for length in (_mp3_frame, _adts_frame, _transport_packet))


def may_be_chain(head: bytes) -> bool:
    """Whether it takes `ENOUGH_BYTES` to know: MP3, ADTS and transport streams have no header."""
    return any(length(head) for length in (_mp3_frame, _adts_frame, _transport_packet))


def is_text(head: bytes) -> bool:
    """Whether bytes can only be text: raw audio does not stay among the letters for long."""
    return len(head) >= FEW_BYTES // 2 and re.fullmatch(rb"[\t\n\r\x20-\x7e]+", head) is not None


def needs_seeking(head: bytes) -> bool | None:
    """Whether an MP4 file has its index behind its audio; None where more bytes are needed to know."""
    at = 0
    while at + 8 <= len(head):
        size, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if kind in (b"moov", b"mdat"):
            return kind == b"mdat"
        if size < 8:
            return False
        at += size
    return None


def is_mp4(head: bytes) -> bool:
    """Whether bytes begin an MP4 or QuickTime file."""
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide")


def _is_chain(head: bytes, length_of: Callable[[bytes], int]) -> bool:
    """Whether three frames follow each other, or as many as there are, each as long as it says."""
    at, frames = 0, 0
    while at + 8 <= len(head) and frames < 3:
        length = length_of(head[at:])
        if not length:
            return False
        at, frames = at + length, frames + 1
    return frames > 0 and (frames == 3 or at >= len(head))


def _mp3_frame(data: bytes) -> int:
    """Bytes of the layer III frame that begins here, 0 if none does."""
    header = mp3_header(data)
    return header.length if header is not None and header.track.codec == "mp3" else 0


def _adts_frame(data: bytes) -> int:
    """Bytes of the ADTS frame that begins here, 0 if none does."""
    header = adts_header(data)
    return header.length if header is not None else 0


def _transport_packet(data: bytes) -> int:
    """Bytes of the MPEG-TS packet that begins here, 0 if none does. Source: ISO/IEC 13818-1, 2.4.3.2."""
    return 188 if data[:1] == b"\x47" else 0
