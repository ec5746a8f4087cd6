"""The ledger of several workers on one machine: a file of SQLite, which outlasts them all."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from streaming_asr_server.access.ledger.interface import LEASE_SECONDS, MAXIMUM_TOKENS, LedgerError, TokenKind

_T = TypeVar("_T")

_WAIT_SECONDS: Final = 2.0
"""How long a file that another process has locked is waited for."""

_DAYS_KEPT: Final = 2
_FORMAT: Final = 1
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS streams (key TEXT, worker TEXT, held INTEGER, expires REAL, PRIMARY KEY (key, worker))"
    " WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS seconds (day INTEGER, key TEXT, sum REAL, PRIMARY KEY (day, key)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS tokens (kind TEXT, number INTEGER, digest TEXT, body TEXT, expires REAL,"
    " PRIMARY KEY (kind, number)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS digests ON tokens (kind, digest)",
    "CREATE INDEX IF NOT EXISTS expiries ON tokens (expires)",
    "CREATE TABLE IF NOT EXISTS sessions (session TEXT PRIMARY KEY, owner TEXT, worker TEXT, taken INTEGER DEFAULT 0,"
    " expires REAL) WITHOUT ROWID",
)


class SqliteLedger:
    """A ledger in a file, for the worker of this name; `now` is the time of day in seconds, the same for all workers.

    One thread of its own works on the file. A write waits two seconds at most for those of other workers. What workers
    hold is forgotten when they are silent; minutes and tokens outlast a restart of all.

    Raises:
        LedgerError: the file cannot be opened, or is not a ledger.
    """

    def __init__(
        self,
        file: Path,
        *,
        worker: str,
        now: Callable[[], float] = time.time,
        maximum_tokens: int = MAXIMUM_TOKENS,
    ) -> None:
        self._file: Final = file
        self._worker: Final = worker
        self._now: Final = now
        self._maximum_tokens: Final = maximum_tokens
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._idle = False
        self._connection = self._open()

    async def hold(self, key: str, count: int, *, limit: int | None = None) -> bool:
        return await self._do(lambda file: self._hold(file, key, count, limit))

    async def add_seconds(self, day: int, seconds: Mapping[str, float]) -> Mapping[str, float]:
        sums = dict(seconds)
        return await self._do(lambda file: self._add_seconds(file, day, sums))

    async def put_token(self, kind: TokenKind, digest: str, text: str, *, seconds: float) -> None:
        await self._do(lambda file: self._put_token(file, kind, digest, text, seconds))

    async def find_token(self, kind: TokenKind, digest: str, *, use_up: bool) -> str | None:
        return await self._do(lambda file: self._find_token(file, kind, digest, use_up))

    async def take_session(self, session: str, owner: str) -> None:
        expires = self._now() + LEASE_SECONDS
        statement = (
            "INSERT INTO sessions VALUES (?, ?, ?, 1, ?) ON CONFLICT (session) DO UPDATE SET taken = 1"
            " WHERE owner = excluded.owner AND worker <> excluded.worker"
        )
        await self._do(lambda file: file.execute(statement, (session, owner, self._worker, expires)))

    async def find_session(self, session: str, owner: str) -> str | None:
        query = "SELECT worker FROM sessions WHERE session = ? AND owner = ? AND taken = 0 AND expires > ?"
        row = await self._do(lambda file: file.execute(query, (session, owner, self._now())).fetchone())
        return None if row is None else str(row[0])

    async def renew(self, held: Mapping[str, int], sessions: Mapping[str, str]) -> Collection[str]:
        """A worker that has held nothing for a while writes nothing."""
        held, sessions = dict(held), dict(sessions)
        if not held and not sessions and self._idle:
            return ()
        elsewhere = await self._do(lambda file: self._renew(file, held, sessions))
        self._idle = not held and not sessions
        return elsewhere

    async def forget(self, worker: str) -> None:
        await self._do(lambda file: self._forget(file, worker))

    async def close(self) -> None:
        await asyncio.wrap_future(self._thread.submit(self._connection.close))
        self._thread.shutdown()

    def _open(self) -> sqlite3.Connection:
        """Transactions are begun and ended here, by name; one thread at a time uses the connection."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(self._file, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(file)
            except BaseException:
                file.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"the ledger {self._file} cannot be opened: {error}") from error
        return file

    def _prepare(self, file: sqlite3.Connection) -> None:
        file.execute("PRAGMA journal_mode = WAL")
        # A power failure may take the last second with it; nothing waits for the disk.
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute("BEGIN IMMEDIATE")
        found = file.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise LedgerError(f"the ledger {self._file} has format {found}, this program {_FORMAT}; use another file")
        for table in _TABLES:
            file.execute(table)
        file.execute(f"PRAGMA user_version = {_FORMAT}")
        file.execute("COMMIT")

    async def _do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run something on the thread, all of it or nothing. Raises LedgerError."""
        return await asyncio.wrap_future(self._thread.submit(self._transaction, work))

    def _transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        file = self._connection
        try:
            file.execute("BEGIN IMMEDIATE")
            result = work(file)
            file.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                file.execute("ROLLBACK")
            raise LedgerError(f"the ledger {self._file}: {error}") from error
        return result

    def _hold(self, file: sqlite3.Connection, key: str, count: int, limit: int | None) -> bool:
        now = self._now()
        query = "SELECT COALESCE(SUM(held), 0) FROM streams WHERE key = ? AND worker <> ? AND expires > ?"
        others = file.execute(query, (key, self._worker, now)).fetchone()[0]
        if limit is not None and others + count > limit:
            return False
        self._write_held(file, key, count)
        return True

    def _write_held(self, file: sqlite3.Connection, key: str, count: int) -> None:
        self._idle = False
        if count:
            row = key, self._worker, count, self._now() + LEASE_SECONDS
            file.execute("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?)", row)
        else:
            file.execute("DELETE FROM streams WHERE key = ? AND worker = ?", (key, self._worker))

    def _add_seconds(self, file: sqlite3.Connection, day: int, seconds: Mapping[str, float]) -> Mapping[str, float]:
        file.execute("DELETE FROM seconds WHERE day <= ?", (day - _DAYS_KEPT,))
        statement = (
            "INSERT INTO seconds VALUES (?, ?, ?) ON CONFLICT (day, key) DO UPDATE SET sum = sum + excluded.sum"
            " RETURNING sum"
        )
        return {key: file.execute(statement, (day, key, more)).fetchall()[0][0] for key, more in seconds.items()}

    def _put_token(self, file: sqlite3.Connection, kind: TokenKind, digest: str, text: str, seconds: float) -> None:
        now = self._now()
        file.execute("DELETE FROM tokens WHERE expires <= ?", (now,))
        newest = file.execute("SELECT MAX(number) FROM tokens WHERE kind = ?", (kind,)).fetchone()[0] or 0
        oldest_kept = newest + 2 - self._maximum_tokens
        file.execute("DELETE FROM tokens WHERE kind = ? AND number < ?", (kind, oldest_kept))
        file.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", (kind, newest + 1, digest, text, now + seconds))

    def _find_token(self, file: sqlite3.Connection, kind: TokenKind, digest: str, use_up: bool) -> str | None:
        condition, values = "WHERE kind = ? AND digest = ? AND expires > ?", (kind, digest, self._now())
        row = file.execute(f"SELECT body FROM tokens {condition}", values).fetchone()
        if row is not None and use_up:
            file.execute(f"DELETE FROM tokens {condition}", values)
        return None if row is None else str(row[0])

    def _renew(self, file: sqlite3.Connection, held: Mapping[str, int], sessions: Mapping[str, str]) -> Collection[str]:
        now = self._now()
        file.execute("DELETE FROM streams WHERE worker = ? OR expires <= ?", (self._worker, now))
        for key, count in held.items():
            self._write_held(file, key, count)
        taken = {row[0]: row[1] for row in file.execute("SELECT session, owner FROM sessions WHERE taken")}
        file.execute("DELETE FROM sessions WHERE (worker = ? AND NOT taken) OR expires <= ?", (self._worker, now))
        rows = [(name, owner, self._worker, now + LEASE_SECONDS) for name, owner in sessions.items()]
        renewed = (
            "INSERT INTO sessions VALUES (?, ?, ?, 0, ?) ON CONFLICT (session) DO UPDATE SET expires = excluded.expires"
        )
        file.executemany(renewed, rows)
        return [name for name, owner in sessions.items() if taken.get(name) == owner]

    def _forget(self, file: sqlite3.Connection, worker: str) -> None:
        file.execute("DELETE FROM streams WHERE worker = ?", (worker,))
        file.execute("DELETE FROM sessions WHERE worker = ? AND NOT taken", (worker,))
