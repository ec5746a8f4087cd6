"""What ends a stream at the client."""

from __future__ import annotations

from typing import Final

from streaming_asr.errors import StreamingAsrError
from streaming_asr.protocol import ErrorCode, Fault


class RefusedError(StreamingAsrError):
    """The server refused the connection: `status` is HTTP's, `code` the server's; `retry_after` is in seconds."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"the server refused the connection ({status} {code}): {message}")
        self.status: Final = status
        self.code: Final = code
        self.retry_after: Final = retry_after

    @property
    def temporary(self) -> bool:
        """Whether it is worth trying again later."""
        return self.status in (429, 502, 503, 504)


class ConnectionLostError(StreamingAsrError, ConnectionError):
    """The connection was lost and could not be had again within the time given."""


class StreamFailedError(StreamingAsrError):
    """The server ended the stream with an error that cannot be resumed from."""

    def __init__(self, code: ErrorCode, fault: Fault, message: str) -> None:
        super().__init__(f"{code} (the {fault}'s fault): {message}")
        self.code: Final = code
        self.fault: Final = fault
