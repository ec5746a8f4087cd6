"""Short-lived secrets of the OpenAI Realtime API: bought with a key, given to a browser, good until they expire."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streaming_asr_server.access.authentication import Principal, hash_key
from streaming_asr_server.protocols.openai.session_settings import SessionSettings

SHORTEST_SECONDS: Final = 10
LONGEST_SECONDS: Final = 7_200
USUAL_SECONDS: Final = 600
MAXIMUM_SECRETS: Final = 10_000
"""At most so many are out at a time; then the oldest gives way."""

_PREFIX: Final = "ek_"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a secret is good for."""

    principal: Principal
    settings: SessionSettings
    expires_at: float


class ClientSecrets:
    """Secrets by hash; `now` gives seconds since the epoch. A secret opens any number of sessions until it expires."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now: Final = now
        self._grants: dict[str, Grant] = {}

    def issue(
        self, principal: Principal, settings: SessionSettings, *, seconds: int = USUAL_SECONDS
    ) -> tuple[str, int]:
        """A new secret, and when it expires, in whole seconds since the epoch."""
        self._forget_expired()
        while len(self._grants) >= MAXIMUM_SECRETS:
            del self._grants[next(iter(self._grants))]
        secret = _PREFIX + secrets.token_urlsafe(32)
        expires_at = int(self._now()) + seconds
        self._grants[hash_key(secret)] = Grant(principal, settings, expires_at)
        return secret, expires_at

    def find(self, secret: str) -> Grant | None:
        """What this secret is good for, if it is one and has not expired."""
        grant = self._grants.get(hash_key(secret)) if secret.startswith(_PREFIX) else None
        return grant if grant is not None and self._now() < grant.expires_at else None

    def _forget_expired(self) -> None:
        now = self._now()
        self._grants = {key: grant for key, grant in self._grants.items() if now < grant.expires_at}
