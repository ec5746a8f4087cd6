"""What workers of one server tell each other: who streams how much, tokens that were given out, where sessions are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, Protocol, TypeAlias

from streaming_asr.errors import StreamingAsrError

TokenKind: TypeAlias = Literal["browser", "openai"]

MAXIMUM_TOKENS: Final = 10_000
"""So many of a kind are out at a time; then the oldest gives way."""

LEASE_SECONDS: Final = 10.0
"""What a worker holds is forgotten when nothing was heard of it for so long."""


class LedgerError(StreamingAsrError):
    """The ledger cannot be reached or written; what it was asked for was not done, or nobody knows."""


class Ledger(Protocol):
    """One worker's access to what all of them share.

    A worker tells what it holds as a whole, not what has changed: so whatever was lost on the way, or forgotten while
    the worker could not be heard, is right again with its next `renew`. Calls are carried out in the order in which
    they are made. Each may raise LedgerError, after a few seconds at most. Cancelled, a call may have been carried out
    or not.
    """

    async def hold(self, key: str, count: int, *, limit: int | None = None) -> bool:
        """This worker holds `count` streams of a key from now on; False if all workers would hold more than `limit`."""

    async def add_seconds(self, day: int, seconds: Mapping[str, float]) -> Mapping[str, float]:
        """Count audio by key in a day (since the epoch, UTC); gives the day's sums of these keys over all workers."""

    async def put_token(self, kind: TokenKind, digest: str, text: str, *, seconds: float) -> None:
        """Keep a text under the digest of a token for so long; the oldest of too many gives way."""

    async def find_token(self, kind: TokenKind, digest: str, *, use_up: bool) -> str | None:
        """The text of a token that has not expired; of all who use it up, one alone gets it."""

    async def take_session(self, session: str, owner: str) -> None:
        """A session of this owner goes on at this worker; another one that has it learns that by its `renew`."""

    async def find_session(self, session: str, owner: str) -> str | None:
        """The worker that has a session of this owner, as far as it is known."""

    async def renew(self, held: Mapping[str, int], sessions: Mapping[str, str]) -> Collection[str]:
        """This worker lives, and holds these streams by key and these sessions with their owners.

        Gives those of the sessions that go on elsewhere.
        """

    async def forget(self, worker: str) -> None:
        """A worker is dead: it holds nothing any more."""

    async def close(self) -> None:
        """Let go of everything; nothing is called any more."""
