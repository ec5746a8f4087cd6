"""The ledger of a server with one worker: nothing is shared, nothing outlasts the process."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping

from streaming_asr_server.access.ledger.interface import MAXIMUM_TOKENS, TokenKind


class MemoryLedger:
    """A ledger of one worker; `clock` gives seconds that never run backwards. It never fails and never waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[int, defaultdict[str, float]] = {}
        self._tokens: defaultdict[TokenKind, OrderedDict[str, tuple[float, str]]] = defaultdict(OrderedDict)

    async def hold(self, key: str, count: int, *, limit: int | None = None) -> bool:
        return limit is None or count <= limit

    async def add_seconds(self, day: int, seconds: Mapping[str, float]) -> Mapping[str, float]:
        """Keeps two days: what was heard before midnight may be counted behind it."""
        sums = self._seconds.setdefault(day, defaultdict(float))
        for key, more in seconds.items():
            sums[key] += more
        for past in [other for other in self._seconds if other < day - 1]:
            del self._seconds[past]
        return {key: sums[key] for key in seconds}

    async def put_token(self, kind: TokenKind, digest: str, text: str, *, seconds: float) -> None:
        tokens = self._tokens[kind]
        if len(tokens) >= MAXIMUM_TOKENS:
            self._expire(tokens)
        while len(tokens) >= MAXIMUM_TOKENS:
            tokens.popitem(last=False)
        tokens[digest] = self._clock() + seconds, text

    async def find_token(self, kind: TokenKind, digest: str, *, use_up: bool) -> str | None:
        tokens = self._tokens[kind]
        expiry, text = tokens.get(digest, (0.0, ""))
        if digest in tokens and (use_up or expiry <= self._clock()):
            del tokens[digest]
        return text if expiry > self._clock() else None

    async def take_session(self, session: str, owner: str) -> None:
        """There is no other worker."""

    async def find_session(self, session: str, owner: str) -> str | None:
        """Whoever asks for sessions of this process finds them in its registry."""
        return None

    async def renew(self, held: Mapping[str, int], sessions: Mapping[str, str]) -> Collection[str]:
        return ()

    async def forget(self, worker: str) -> None:
        """There is no other."""

    async def close(self) -> None:
        """Nothing is open."""

    def _expire(self, tokens: OrderedDict[str, tuple[float, str]]) -> None:
        now = self._clock()
        for digest in [digest for digest, (expiry, _) in tokens.items() if expiry <= now]:
            del tokens[digest]
