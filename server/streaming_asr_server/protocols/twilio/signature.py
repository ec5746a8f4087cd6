"""Twilio's signature of a request: who knows the account's token has made it.

Source: Twilio's documentation, "Webhooks security": base64 of HMAC-SHA1, by the token, over the whole address as Twilio
was given it, followed for forms by every field and its value, sorted by name. A websocket has no fields. The same
address has the same signature every time, so a signature is worth as much as the secrecy of its transport: use wss.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit, urlunsplit

HEADER: Final = "x-twilio-signature"

_USUAL_PORTS: Final = {"wss": 443, "ws": 80}
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


def signature(token: str, url: str, fields: Mapping[str, str] = _NO_FIELDS) -> str:
    """What Twilio sends in `X-Twilio-Signature`."""
    signed = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), "sha1")).decode()


def is_signed(token: str, urls: Iterable[str], presented: str | None) -> bool:
    """Whether the presented signature is that of one of these addresses; compares in constant time."""
    given = (presented or "").encode()
    results = [hmac.compare_digest(signature(token, url).encode(), given) for url in urls]
    return any(results)


def spellings(url: str) -> list[str]:
    """One websocket address as it may have been signed: behind a TLS proxy, with or without port and last slash."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return [
        urlunsplit((scheme, host, path + slash, parts.query, ""))
        for scheme, usual in _USUAL_PORTS.items()
        for host in _hosts(parts.hostname or "", parts.port, usual)
        for slash in ("", "/")
    ]


def _hosts(name: str, port: int | None, usual: int) -> list[str]:
    shown = f"[{name}]" if ":" in name else name
    if port is None or port == usual:
        return [shown, f"{shown}:{usual}"]
    return [f"{shown}:{port}", shown]
