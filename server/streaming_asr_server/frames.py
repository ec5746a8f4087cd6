"""Reads the plainest frame of a websocket: a small binary message in one piece, as most audio comes (RFC 6455, 5.2)."""

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
