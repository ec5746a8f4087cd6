"""Who may connect: API keys, kept as hashes, and browser tokens that live for a minute and open one connection."""

from __future__ import annotations

import hmac
import json
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from streaming_asr.errors import OptionError
from streaming_asr.protocol import SUBPROTOCOL
from streaming_asr_server.access.ledger.interface import Ledger

TOKEN_SUBPROTOCOL: Final = "token."
"""A browser cannot set headers: it offers its key or token as a subprotocol with this beginning."""

_KEY_HEADERS: Final = ("x-api-key", "api-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a key belongs to, with its limits; None is no limit. `minutes` of audio count per day (UTC).

    `reload`: whether it may load models anew.
    """

    name: str
    streams: int | None = None
    minutes: float | None = None
    reload: bool = False


ANYONE: Final = Principal(name="anyone")
"""Every caller of a server that asks for no keys."""


def hash_key(key: str) -> str:
    """The hash under which a key is kept.

    A plain hash suffices: keys are 256 random bits, so nobody can try them all, however fast the hash.
    """
    return sha256(key.encode()).hexdigest()


def new_key() -> str:
    """A new API key: 256 random bits, in characters that a header, a query and a subprotocol can hold."""
    return secrets.token_urlsafe(32)


class ApiKeys:
    """The keys that a server accepts, by hash."""

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self._principals = dict(principals)

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """Read a TOML file with a table `[[keys]]` per key: `name`, `sha256`, and `streams`, `minutes` if limited.

        Raises:
            OptionError: the file is not of this form.
        """
        try:
            entries = tomllib.loads(path.read_text("utf-8")).get("keys")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise OptionError(f"the key file {path} cannot be read: {error}") from error
        if not isinstance(entries, list) or not entries:
            raise OptionError(f"the key file {path} has no [[keys]]; make one with 'streaming-asr create-key NAME'")
        return cls(dict(_principal(entry, path) for entry in entries))

    def find(self, key: str) -> Principal | None:
        """Whose key this is. Compares with all of them, in constant time each."""
        presented, found = hash_key(key), None
        for known, principal in self._principals.items():
            if hmac.compare_digest(presented, known):
                found = principal
        return found


def _principal(entry: Any, path: Path) -> tuple[str, Principal]:
    match entry:
        case {"name": str(name), "sha256": str(digest)} if len(digest) == 64:
            streams, minutes, reload = entry.get("streams"), entry.get("minutes"), entry.get("reload", False)
            limits = isinstance(streams, int | None) and isinstance(minutes, int | float | None)
            if limits and isinstance(reload, bool):
                return digest.lower(), Principal(name=name, streams=streams, minutes=minutes, reload=reload)
    raise OptionError(
        f"{path}: a key needs a name, sha256 (64 hex digits), numbers in streams and minutes, and true or false in "
        f"reload: {entry}"
    )


class BrowserTokens:
    """Single-use tokens, kept in a ledger; at most 10,000 are out at a time."""

    def __init__(self, ledger: Ledger, *, lifetime: float = 60.0) -> None:
        self.lifetime: Final = lifetime
        self._ledger = ledger

    async def issue(self, principal: Principal) -> str:
        """A new token; the oldest gives way if there are too many. Raises LedgerError."""
        token = new_key()
        text = json.dumps(asdict(principal))
        await self._ledger.put_token("browser", hash_key(token), text, seconds=self.lifetime)
        return token

    async def redeem(self, token: str) -> Principal | None:
        """Whose token this was; it is used up by that. Raises LedgerError."""
        text = await self._ledger.find_token("browser", hash_key(token), use_up=True)
        return None if text is None else Principal(**json.loads(text))


def presented_key(headers: Mapping[str, str], query: Mapping[str, str], subprotocols: Sequence[str] = ()) -> str | None:
    """The key or token that a caller shows: `Authorization`, `X-API-Key`, a subprotocol, the query; in this order."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "token") and value.strip():
        return value.strip()
    for name in _KEY_HEADERS:
        if headers.get(name):
            return headers[name].strip()
    for offered in subprotocols:
        if offered.startswith(TOKEN_SUBPROTOCOL):
            return offered.removeprefix(TOKEN_SUBPROTOCOL)
    return query.get("token") or None


def chosen_subprotocol(offered: Sequence[str]) -> str | None:
    """The subprotocol to answer with; a key is never sent back."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def origin_allowed(headers: Mapping[str, str], allowed: Sequence[str]) -> bool:
    """Whether a page of this origin may connect: the server's own, one of those allowed, or no page at all."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    host = headers.get("host", "").lower()
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    # A proxy may pass the host on without its port (`Host $host` in nginx): then the name has to do.
    without_port = bool(host) and ":" not in host.rpartition("]")[2]
    return page.netloc.lower() == host or (without_port and page.hostname == host.strip("[]"))
