"""What can go wrong on a stream, whose fault it is, and how the connection is closed then: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from streaming_asr.errors import StreamingAsrError

Fault: TypeAlias = Literal["client", "server"]
ErrorCode: TypeAlias = Literal[
    "bad_message",
    "bad_option",
    "bad_audio",
    "out_of_order",
    "too_big",
    "too_fast",
    "start_timeout",
    "idle",
    "slow_reader",
    "superseded",
    "too_long",
    "minutes_used_up",
    "overloaded",
    "internal",
    "stalled",
    "going_away",
]

NORMAL_CLOSE: Final = 1000


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table: whose fault, the websocket close code, and whether another connection may go on."""

    fault: Fault
    close_code: int
    resumable: bool


ERRORS: Final[Mapping[ErrorCode, ErrorKind]] = MappingProxyType(
    {
        "bad_message": ErrorKind("client", 4400, False),
        "bad_option": ErrorKind("client", 4400, False),
        "bad_audio": ErrorKind("client", 4400, False),
        "out_of_order": ErrorKind("client", 4400, False),
        "too_big": ErrorKind("client", 1009, False),
        "too_fast": ErrorKind("client", 1013, True),
        "start_timeout": ErrorKind("client", 4408, True),
        "idle": ErrorKind("client", 4408, True),
        "slow_reader": ErrorKind("client", 4408, True),
        "superseded": ErrorKind("client", 4409, False),
        "too_long": ErrorKind("client", 4413, False),
        "minutes_used_up": ErrorKind("client", 4429, False),
        "overloaded": ErrorKind("server", 1013, True),
        "internal": ErrorKind("server", 4500, True),
        "stalled": ErrorKind("server", 4500, True),
        "going_away": ErrorKind("server", 1012, True),
    }
)


class ProtocolError(StreamingAsrError):
    """One end broke the protocol or reached a limit of it; `code` names the row of the table."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: Final = code

    @property
    def kind(self) -> ErrorKind:
        """Fault, close code and resumability."""
        return ERRORS[self.code]


def close_is_resumable(code: int | None) -> bool:
    """Whether a stream may be resumed after a close with this code and without an `error` message before it."""
    if code == NORMAL_CLOSE:
        return False
    kinds = [kind for kind in ERRORS.values() if kind.close_code == code]
    return not kinds or any(kind.resumable for kind in kinds)
