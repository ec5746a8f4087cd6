"""A webhook delivers in order, tries again, and never holds more than it should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from streaming_asr_server.protocols.twilio.webhooks import Webhook, WebhookRules, post_by_urllib, sign

from streaming_asr.errors import OptionError
from tests.server.speaking import until

pytestmark = pytest.mark.anyio


class Receiver:
    """Answers with these statuses, then with 200; an error is raised instead."""

    def __init__(self, *answers: int | OSError) -> None:
        self.answers = list(answers)
        self.tries: list[dict[str, Any]] = []
        self.slept: list[float] = []

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.tries.append(json.loads(body))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def numbers(self) -> list[int]:
        return [event["n"] for event in self.tries]


def webhook(receiver: Receiver, registry: CollectorRegistry | None = None, **rules: Any) -> Webhook:
    return Webhook(
        "http://receiver/",
        "secret",
        registry=registry or CollectorRegistry(),
        rules=WebhookRules(**rules),
        post=receiver.post,
        sleep=receiver.sleep,
    )


async def delivered(hook: Webhook, count: int) -> None:
    async with hook.running():
        for number in range(count):
            hook.offer({"n": number})


def counted(registry: CollectorRegistry, results: Sequence[str]) -> list[float | None]:
    return [registry.get_sample_value("streaming_asr_webhook_events_total", {"result": result}) for result in results]


async def test_events_come_in_order_each_with_an_id() -> None:
    receiver = Receiver()
    await delivered(webhook(receiver), 3)
    assert receiver.numbers == [0, 1, 2]
    assert len({event["id"] for event in receiver.tries}) == 3


@pytest.mark.parametrize("answer", [500, 503, 429, 408, ConnectionRefusedError("nobody there")])
async def test_what_may_pass_is_tried_again_ever_later(answer: int | OSError) -> None:
    receiver = Receiver(answer, answer, answer)
    await delivered(webhook(receiver, first_delay_seconds=1.0), 2)
    assert receiver.numbers == [0, 0, 0, 0, 1]
    assert len({event["id"] for event in receiver.tries}) == 2, "a repetition has the id of the first try"
    for delay, longest in zip(receiver.slept, (1.0, 2.0, 4.0), strict=True):
        assert longest / 2 <= delay <= longest


@pytest.mark.parametrize("answer", [400, 401, 404, 301])
async def test_a_refusal_is_final(answer: int) -> None:
    receiver, registry = Receiver(answer), CollectorRegistry()
    await delivered(webhook(receiver, registry), 2)
    assert receiver.numbers == [0, 1]
    assert counted(registry, ["delivered", "failed"]) == [1.0, 1.0]


async def test_after_some_tries_an_event_is_given_up() -> None:
    receiver = Receiver(*[500] * 3)
    await delivered(webhook(receiver, attempts=3), 2)
    assert receiver.numbers == [0, 0, 0, 1]


async def test_a_full_queue_drops_the_newest_and_counts_it() -> None:
    receiver, registry = Receiver(), CollectorRegistry()
    await delivered(webhook(receiver, registry, queue=2), 5)
    assert receiver.numbers == [0, 1]
    assert counted(registry, ["delivered", "dropped"]) == [2.0, 3.0]


async def test_the_end_does_not_wait_for_ever() -> None:
    class Deaf(Receiver):
        async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
            await asyncio.Event().wait()
            return 200

    async with asyncio.timeout(5):
        await delivered(webhook(Deaf(), closing_seconds=0.05), 2)


@pytest.mark.parametrize(
    ("url", "secret"), [("ftp://x/", "s"), ("file:///etc/passwd", "s"), ("http://", "s"), ("http://x", "")]
)
async def test_an_address_or_secret_that_cannot_be_is_refused(url: str, secret: str) -> None:
    with pytest.raises(OptionError, match="webhook"):
        Webhook(url, secret, registry=CollectorRegistry())


async def test_the_signature_covers_time_and_body() -> None:
    first = sign("secret", 1_700_000_000, b"{}")
    assert first.startswith("t=1700000000,v1=")
    assert (
        len({first, sign("secret", 1_700_000_001, b"{}"), sign("secret", 1_700_000_000, b"[]"), sign("s", 1, b"")}) == 4
    )


@pytest.mark.parametrize(
    ("line", "status"), [("200 OK", 200), ("302 Found\r\nLocation: http://127.0.0.1:9/", 302), ("500 No", 500)]
)
async def test_a_request_gives_its_status_and_follows_nobody(line: str, status: int) -> None:
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"{}"))
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        assert await post_by_urllib(url, b"{}", {"X-Signed": "yes"}) == status
    await until(lambda: len(requests) == 1)
    assert requests[0].startswith(b"POST /hook ")
    assert b"x-signed: yes" in requests[0].lower()


async def test_nobody_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match="refused"):
        await post_by_urllib("http://127.0.0.1:9/", b"{}", {})
