"""Where a server's stream is, from what people type."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from streaming_asr.errors import OptionError
from streaming_asr.protocol import PATH

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def stream_address(url: str) -> str:
    """The websocket address of a server's stream; without a path, `/v1/stream` is meant.

    Raises:
        OptionError: the URL has no host, or a scheme that is none of ws, wss, http, https.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise OptionError(f"the server is {url!r}; it must be like ws://host:8765 or wss://host")
    path = parts.path if parts.path.strip("/") else PATH
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))
