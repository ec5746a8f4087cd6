"""Where the frames of a websocket begin, and the plainest one read: a small binary message (RFC 6455, 5.2)."""

from __future__ import annotations

from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

_WHOLE_BINARY: Final = 0x82
_MASKED: Final = 0x80
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_MASK_BYTES: Final = 4


def plain_message(data: bytes, at: int, longest: int) -> tuple[bytes, int] | None:
    """The message of a client's frame that begins at a position, and the position behind it.

    None where the frame is anything but one whole binary message of at most `longest` bytes, or not all of it is there:
    then it is for somebody who knows all of the protocol.
    """
    start = at + 2
    if len(data) < start or data[at] != _WHOLE_BINARY:
        return None
    length = data[at + 1] - _MASKED
    if length == _TWO_BYTES:
        start += 2
        length = int.from_bytes(data[at + 2 : start], "big")
    elif length == _EIGHT_BYTES:
        return None
    payload = start + _MASK_BYTES
    end = payload + length
    if not 0 <= length <= longest or len(data) < end:
        return None
    return apply_mask(data[payload:end], data[start:payload]), end


class FrameBorders:
    """Where frames begin in what a client sends."""

    def __init__(self) -> None:
        self._missing = 0
        """Bytes that the frame under way still has."""
        self._begun = b""
        """What there is of a frame that does not tell its length yet."""

    @property
    def here(self) -> bool:
        """Whether a frame begins with the next byte."""
        return not self._missing and not self._begun

    def follow(self, data: bytes) -> None:
        """Go on behind these bytes."""
        at = min(self._missing, len(data))
        self._missing -= at
        data, self._begun = self._begun + data[at:], b""
        at = 0
        while at < len(data):
            size = _frame_bytes(data, at)
            if size is None:
                self._begun = data[at:]
                return
            at += size
        self._missing += at - len(data)


def _frame_bytes(data: bytes, at: int) -> int | None:
    """How long a frame is that begins at a position; None where that is not all there."""
    if len(data) < at + 2:
        return None
    length, more = data[at + 1] & ~_MASKED, 0
    if length in (_TWO_BYTES, _EIGHT_BYTES):
        more = 2 if length == _TWO_BYTES else 8
        length = int.from_bytes(data[at + 2 : at + 2 + more], "big")
    if len(data) < at + 2 + more:
        return None
    return 2 + more + (_MASK_BYTES if data[at + 1] & _MASKED else 0) + length
