"""The ledger of workers on several machines: a Redis server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from streaming_asr.errors import MissingExtraError
from streaming_asr_server.access.ledger.interface import LEASE_SECONDS, MAXIMUM_TOKENS, LedgerError, TokenKind

_T = TypeVar("_T")

_WAIT_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.5
"""After a failure, calls fail at once for so long: who waits for a silent Redis does not wait for each other too."""

_LEASE_MS: Final = int(LEASE_SECONDS * 1000)
_DAY_SECONDS: Final = 2 * 86_400

# Redis tells the time: the clocks of the machines need not agree. All names have one hash tag, for Redis Cluster.
_PREFIX: Final = "{streaming-asr}:"

_HOLD: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local worker, count, limit, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local others, rows = 0, redis.call('HGETALL', KEYS[1])
for i = 1, #rows, 2 do
  local held, expires = string.match(rows[i + 1], '(%d+) (%d+)')
  if tonumber(expires) <= now then
    redis.call('HDEL', KEYS[1], rows[i])
  elseif rows[i] ~= worker then
    others = others + held
  end
end
if limit >= 0 and others + count > limit then
  return 0
end
if count == 0 then
  redis.call('HDEL', KEYS[1], worker)
  redis.call('SREM', KEYS[2], KEYS[1])
else
  redis.call('HSET', KEYS[1], worker, count .. ' ' .. string.format('%.0f', now + lease))
  redis.call('PEXPIRE', KEYS[1], lease)
  redis.call('SADD', KEYS[2], KEYS[1])
  redis.call('PEXPIRE', KEYS[2], lease)
end
return 1
"""
_FORGET: Final = """
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  redis.call('HDEL', name, ARGV[1])
end
redis.call('DEL', KEYS[1])
"""
_PUT_TOKEN: Final = """
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], time[1] * 1000000 + time[2], KEYS[1])
while redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[1]) do
  redis.call('DEL', redis.call('ZPOPMIN', KEYS[2])[1])
end
redis.call('PEXPIRE', KEYS[2], 86400000)
"""
_TAKE: Final = """
local owner, worker = unpack(redis.call('HMGET', KEYS[1], 'owner', 'worker'))
if not owner then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'worker', ARGV[2], 'taken', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif owner == ARGV[1] and worker ~= ARGV[2] then
  redis.call('HSET', KEYS[1], 'taken', '1')
end
"""
_RENEW: Final = """
local owner, taken = unpack(redis.call('HMGET', KEYS[1], 'owner', 'taken'))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if taken then
  return owner == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'worker', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
"""


class RedisLedger:
    """A ledger in Redis, for the worker of this name.

    A Redis that is away raises LedgerError, after two seconds at most; when it is back, it is used again. One that has
    lost everything learns what workers hold by their next `renew`; minutes and tokens are lost then.

    Raises:
        MissingExtraError: the package `redis` is not installed.
        LedgerError: the address is not one.
    """

    def __init__(self, url: str, *, worker: str, maximum_tokens: int = MAXIMUM_TOKENS) -> None:
        try:
            from redis import asyncio as redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
        except ModuleNotFoundError as error:
            raise MissingExtraError("a ledger in Redis", "redis") from error
        self._errors: Final = (RedisError, OSError, TimeoutError)
        self._worker: Final = worker
        self._maximum_tokens: Final = maximum_tokens
        # One connection, used in turn: calls are carried out in the order in which they are made.
        self._turn = asyncio.Lock()
        self._away_until = 0.0
        self._told: set[str] = set()
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=_WAIT_SECONDS,
                socket_connect_timeout=_WAIT_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise LedgerError(f"ledger is no address of a Redis: {error}") from error
        self._hold: Any = self._redis.register_script(_HOLD)
        self._forget: Any = self._redis.register_script(_FORGET)
        self._put: Any = self._redis.register_script(_PUT_TOKEN)
        self._take: Any = self._redis.register_script(_TAKE)
        self._renew: Any = self._redis.register_script(_RENEW)

    async def hold(self, key: str, count: int, *, limit: int | None = None) -> bool:
        self._told.add(key)
        return bool(await self._do(lambda: self._hold_script(key, count, limit)))

    async def add_seconds(self, day: int, seconds: Mapping[str, float]) -> Mapping[str, float]:
        name, sums = f"{_PREFIX}seconds:{day}", dict(seconds)

        async def add() -> Mapping[str, float]:
            async with self._redis.pipeline() as pipeline:
                for key, more in sums.items():
                    pipeline.hincrbyfloat(name, key, more)
                pipeline.expire(name, _DAY_SECONDS)
                answers = await pipeline.execute()
            return dict(zip(sums, map(float, answers), strict=False))

        return await self._do(add) if sums else {}

    async def put_token(self, kind: TokenKind, digest: str, text: str, *, seconds: float) -> None:
        keys = [_token(kind, digest), f"{_PREFIX}tokens:{kind}"]
        await self._do(lambda: self._put(keys=keys, args=[self._maximum_tokens, text, max(1, int(seconds * 1000))]))

    async def find_token(self, kind: TokenKind, digest: str, *, use_up: bool) -> str | None:
        name = _token(kind, digest)
        found = await self._do(lambda: self._redis.getdel(name) if use_up else self._redis.get(name))
        return None if found is None else str(found)

    async def take_session(self, session: str, owner: str) -> None:
        await self._do(lambda: self._take(keys=[_session(session)], args=[owner, self._worker, _LEASE_MS]))

    async def find_session(self, session: str, owner: str) -> str | None:
        fields = ("owner", "worker", "taken")
        found, worker, taken = await self._do(lambda: self._redis.hmget(_session(session), fields))
        return str(worker) if found == owner and not taken else None

    async def renew(self, held: Mapping[str, int], sessions: Mapping[str, str]) -> Collection[str]:
        """What this worker holds no more is taken back, as far as it was told; the rest expires by itself."""
        counts, owners = {**dict.fromkeys(self._told, 0), **held}, dict(sessions)

        async def renew() -> Collection[str]:
            for key, count in counts.items():
                await self._hold_script(key, count, None)
            answers = [
                await self._renew(keys=[_session(name)], args=[owner, self._worker, _LEASE_MS])
                for name, owner in owners.items()
            ]
            return [name for name, taken in zip(owners, answers, strict=True) if taken]

        if not counts and not owners:
            return ()
        elsewhere = await self._do(renew)
        self._told = {key for key in self._told if held.get(key)} | set(held)
        return elsewhere

    async def forget(self, worker: str) -> None:
        await self._do(lambda: self._forget(keys=[_held(worker)], args=[worker]))

    async def close(self) -> None:
        await self._redis.aclose()

    def _hold_script(self, key: str, count: int, limit: int | None) -> Awaitable[Any]:
        keys = [f"{_PREFIX}streams:{key}", _held(self._worker)]
        arguments = [self._worker, count, -1 if limit is None else limit, _LEASE_MS]
        answer: Awaitable[Any] = self._hold(keys=keys, args=arguments)
        return answer

    async def _do(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run something in its turn. Raises LedgerError."""
        clock = asyncio.get_running_loop().time
        async with self._turn:
            if clock() < self._away_until:
                raise LedgerError("Redis was away a moment ago")
            try:
                async with asyncio.timeout(2 * _WAIT_SECONDS):
                    return await work()
            except self._errors as error:
                self._away_until = clock() + _PAUSE_SECONDS
                raise LedgerError(f"Redis cannot be used: {error or type(error).__name__}") from error


def _token(kind: str, digest: str) -> str:
    return f"{_PREFIX}token:{kind}:{digest}"


def _session(session: str) -> str:
    return f"{_PREFIX}session:{session}"


def _held(worker: str) -> str:
    return f"{_PREFIX}held:{worker}"
