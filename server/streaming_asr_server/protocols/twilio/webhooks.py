"""Events to somebody's web server: signed, in order, tried again, and never more than a bounded number of them."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import random
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter

from streaming_asr.errors import OptionError

logger = logging.getLogger(__name__)

HEADER: Final = "X-Streaming-Asr-Signature"
_RETRIED: Final = (408, 425, 429)


class Post(Protocol):
    """Sends one request."""

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer. Raises OSError if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRules:
    """`queue` events wait at most, newer ones are dropped; each is tried `attempts` times, ever more seconds apart."""

    queue: int = 1_000
    attempts: int = 8
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 30.0
    closing_seconds: float = 5.0


class Webhook:
    """Delivers events to one address.

    Args:
        url: http or https. It is an option of the server: no caller may choose where its requests go.
        secret: key of the signature.
        post, now, sleep: the world; `now` is the time in seconds since the epoch.

    Raises:
        OptionError: the address or the secret cannot be used.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        registry: CollectorRegistry,
        rules: WebhookRules | None = None,
        post: Post | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise OptionError(f"webhook_url is {url!r}; it must be an address that begins with http:// or https://")
        if not secret:
            raise OptionError("webhook_secret is missing; the receiver needs it to know who calls")
        self._url = url
        self._secret = secret
        self._rules = rules or WebhookRules()
        self._post = post or post_by_urllib
        self._now = now
        self._sleep = sleep
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()
        self._results = Counter(
            "streaming_asr_webhook_events", "Events for the webhook by what came of them", ["result"], registry=registry
        )

    def offer(self, event: Mapping[str, Any]) -> None:
        """Take an event to be delivered, if there is room; each gets an `id` by which a repetition is known."""
        if len(self._waiting) >= self._rules.queue:
            self._results.labels("dropped").inc()
            logger.warning("the webhook's queue is full; an event was dropped", extra={"waiting": len(self._waiting)})
            return
        self._waiting.append(json.dumps({"id": str(uuid.uuid4()), **event}, allow_nan=False).encode())
        self._arrived.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver until the context ends; then what waits has some seconds left."""
        worker = asyncio.create_task(self._work(), name="webhook")
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rules.closing_seconds):
                    await self._empty()
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            if self._waiting:
                logger.warning("events for the webhook were not delivered", extra={"waiting": len(self._waiting)})

    async def _empty(self) -> None:
        while self._waiting:
            self._emptied.clear()
            await self._emptied.wait()

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            delivered = await self._deliver(self._waiting[0])
            self._waiting.popleft()
            self._results.labels("delivered" if delivered else "failed").inc()
            self._emptied.set()

    async def _deliver(self, body: bytes) -> bool:
        """Try until it is taken, refused for good, or was tried often enough."""
        problem = ""
        for attempt in range(self._rules.attempts):
            if attempt:
                await self._sleep(self._delay(attempt))
            try:
                status = await self._post(self._url, body, self._headers(body))
            except OSError as error:
                problem = str(error)
                continue
            if 200 <= status < 300:
                return True
            problem = f"status {status}"
            if status < 500 and status not in _RETRIED:
                break
        logger.warning("an event was not taken by the webhook", extra={"reason": problem})
        return False

    def _delay(self, attempt: int) -> float:
        longest = min(self._rules.first_delay_seconds * 2 ** (attempt - 1), self._rules.longest_delay_seconds)
        return float(longest * random.uniform(0.5, 1.0))

    def _headers(self, body: bytes) -> dict[str, str]:
        """Signed anew at each attempt: receivers refuse old times, so that nobody can send an event again."""
        return {"Content-Type": "application/json", HEADER: sign(self._secret, int(self._now()), body)}


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 by the secret over the time, a full stop and the body."""
    digest = hmac.digest(secret.encode(), b"%d." % timestamp + body, "sha256").hex()
    return f"t={timestamp},v1={digest}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A signed event goes to the address that was chosen and nowhere else."""

    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        return None


async def post_by_urllib(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """On a thread, ten seconds at most. Cancelling it leaves the request to its own end."""
    return await asyncio.to_thread(_post, url, body, headers)


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
    opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
