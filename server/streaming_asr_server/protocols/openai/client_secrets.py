"""Short-lived secrets of the OpenAI Realtime API: bought with a key, given to a browser, good until they expire."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from streaming_asr_server.access.authentication import Principal, hash_key
from streaming_asr_server.access.ledger.interface import Ledger
from streaming_asr_server.protocols.openai.session_settings import SessionSettings

SHORTEST_SECONDS: Final = 10
LONGEST_SECONDS: Final = 7_200
USUAL_SECONDS: Final = 600
_PREFIX: Final = "ek_"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a secret is good for."""

    principal: Principal
    settings: SessionSettings
    expires_at: float


class ClientSecrets:
    """Secrets, kept in a ledger; `now` gives seconds since the epoch.

    A secret opens any number of sessions until it expires. At most 10,000 are out at a time.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], float]) -> None:
        self._ledger: Final = ledger
        self._now: Final = now

    async def issue(
        self, principal: Principal, settings: SessionSettings, *, seconds: int = USUAL_SECONDS
    ) -> tuple[str, int]:
        """A new secret, and when it expires, in whole seconds since the epoch. Raises LedgerError."""
        secret = _PREFIX + secrets.token_urlsafe(32)
        expires_at = int(self._now()) + seconds
        text = json.dumps(asdict(Grant(principal, settings, expires_at)))
        await self._ledger.put_token("openai", hash_key(secret), text, seconds=seconds)
        return secret, expires_at

    async def find(self, secret: str) -> Grant | None:
        """What this secret is good for, if it is one and has not expired. Raises LedgerError."""
        if not secret.startswith(_PREFIX):
            return None
        text = await self._ledger.find_token("openai", hash_key(secret), use_up=False)
        grant = None if text is None else _grant(json.loads(text))
        return grant if grant is not None and self._now() < grant.expires_at else None


def _grant(fields: Mapping[str, Any]) -> Grant:
    settings = dict(fields["settings"])
    if settings["include"] is not None:
        settings["include"] = tuple(settings["include"])
    return Grant(Principal(**fields["principal"]), SessionSettings(**settings), fields["expires_at"])
