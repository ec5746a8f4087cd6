"""What bytes are, told from the first of them: a container, raw samples, or no audio at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from streaming_asr.audio.encodings import container_name

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


_MP3_KBITS: Final[Mapping[int, tuple[int, ...]]] = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES: Final = (44_100, 48_000, 32_000)


def _mp3_frame(data: bytes) -> int:
    """Bytes of the layer III frame that begins here, 0 if none does. Source: ISO/IEC 11172-3 and 13818-3, 2.4.1.3."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE6 != 0xE2:
        return 0
    version, kbits, rate = data[1] >> 3 & 3, data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return 0
    first = version == 3
    hertz = _MP3_RATES[rate] >> (0 if first else 1 if version == 2 else 2)
    bits = _MP3_KBITS[1 if first else 2][kbits - 1] * 1000
    return (144 if first else 72) * bits // hertz + (data[2] >> 1 & 1)


def _adts_frame(data: bytes) -> int:
    """Bytes of the ADTS frame that begins here, 0 if none does. Source: ISO/IEC 13818-7, 6.2."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0 or data[2] >> 2 & 15 > 12:
        return 0
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return length if length > 7 else 0


def _transport_packet(data: bytes) -> int:
    """Bytes of the MPEG-TS packet that begins here, 0 if none does. Source: ISO/IEC 13818-1, 2.4.3.2."""
    return 188 if data[:1] == b"\x47" else 0
