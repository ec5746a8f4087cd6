"""Why a connection cannot be had, in one line: starting servers, redirects, proxies."""

from __future__ import annotations

import asyncio
import time

import pytest
from streaming_asr_client import Backoff, ClientOptions, ConnectionLostError, RefusedError, connect
from streaming_asr_client.opening import shown
from websockets.datastructures import Headers
from websockets.http11 import Response

from tests.client.test_connection import FAST, finishing, server

pytestmark = pytest.mark.anyio

STARTING = b'{"error": {"code": "starting", "message": "the model is being loaded"}}'


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ws_proxy", "wss_proxy", "http_proxy", "https_proxy", "all_proxy", "socks_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def failure(url: str) -> str:
    with pytest.raises(ConnectionLostError) as lost:
        async with connect(url, sample_rate=16_000, client=FAST):
            pass
    assert "\n" not in str(lost.value)
    return str(lost.value)


async def test_a_server_that_is_starting_is_waited_for_as_long_as_it_says() -> None:
    def refuse(attempt: int) -> Response | None:
        return Response(503, "Busy", Headers({"Retry-After": "1"}), STARTING) if attempt == 0 else None

    began = time.monotonic()
    client = ClientOptions(backoff=Backoff(first=0.001, longest=0.01, give_up_seconds=20))
    async with server(finishing, refuse) as url, connect(url, sample_rate=16_000, client=client) as stream:
        assert time.monotonic() - began >= 1
        await stream.finish()
        assert [event async for event in stream] == []


async def test_the_wait_for_a_starting_server_has_an_end() -> None:
    async with server(finishing, lambda attempt: Response(503, "Busy", Headers(), STARTING)) as url:
        assert "gave up after 0.3 s" in await failure(url)


async def test_a_server_that_is_full_is_told_at_once() -> None:
    full = b'{"error": {"code": "overloaded", "message": "all streams are in use"}}'
    async with server(finishing, lambda attempt: Response(503, "Busy", Headers(), full)) as url:
        with pytest.raises(RefusedError, match="all streams are in use"):
            async with connect(url, sample_rate=16_000, client=FAST):
                pass


async def test_a_redirect_that_cannot_be_followed_is_named_with_what_would_be_right() -> None:
    def refuse(attempt: int) -> Response:
        return Response(301, "Moved", Headers({"Location": "https://asr.example/v1/stream"}))

    async with server(finishing, refuse) as url:
        said = await failure(url)
    assert "redirects to https://asr.example/v1/stream" in said
    assert "use wss://asr.example/v1/stream" in said


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("http://user:secret@127.0.0.1:1", "127.0.0.1:1"),
        ("http://127.0.0.1:99999", "127.0.0.1:99999"),
        ("gopher://127.0.0.1:80", "isn't supported"),
        ("socks5://127.0.0.1:1", "127.0.0.1:1"),
    ],
)
async def test_a_proxy_that_does_not_work_is_named_without_its_password(
    proxy: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ws_proxy", proxy)
    said = await failure("ws://asr.example:8765")
    assert "proxy" in said
    assert reason in said
    assert "secret" not in said


async def test_a_proxy_that_refuses_is_told_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        monkeypatch.setenv("ws_proxy", f"http://127.0.0.1:{port}")
        said = await failure("ws://asr.example:8765")
    assert f"through the proxy http://127.0.0.1:{port}" in said
    assert "407" in said


def test_addresses_are_shown_without_passwords() -> None:
    assert shown("http://user:secret@proxy:3128") == "http://proxy:3128"
    assert shown("http://proxy:3128") == "http://proxy:3128"
