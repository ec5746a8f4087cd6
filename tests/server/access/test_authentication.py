"""Keys are kept as hashes; browser tokens are good once, for a minute."""

from __future__ import annotations

from pathlib import Path

import pytest
from streaming_asr_server.access.authentication import (
    ANYONE,
    ApiKeys,
    BrowserTokens,
    Principal,
    chosen_subprotocol,
    hash_key,
    new_key,
    origin_allowed,
    presented_key,
)
from streaming_asr_server.access.ledger.memory import MemoryLedger

from streaming_asr.errors import OptionError


def test_a_key_file_holds_hashes_and_limits(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    key = new_key()
    file.write_text(f'[[keys]]\nname = "news"\nsha256 = "{hash_key(key)}"\nstreams = 2\nminutes = 1.5\n')
    keys = ApiKeys.read(file)
    assert key not in file.read_text()
    assert keys.find(key) == Principal(name="news", streams=2, minutes=1.5)
    assert keys.find(key[:-1]) is None
    assert keys.find("") is None


@pytest.mark.parametrize(
    "text",
    [
        "[[keys]]\nname = 'x'",
        "[[keys]]\nname = 'x'\nsha256 = 'abc'",
        f"[[keys]]\nsha256 = '{hash_key('x')}'",
        f"[[keys]]\nname = 'x'\nsha256 = '{hash_key('x')}'\nstreams = 'many'",
        "keys = 3",
        "[[keys",
    ],
)
def test_a_key_file_that_is_not_one_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(OptionError):
        ApiKeys.read(file)


@pytest.mark.anyio
async def test_a_token_is_good_once_and_only_for_its_lifetime() -> None:
    now, principal = 0.0, Principal(name="news", streams=2, minutes=1.5)
    tokens = BrowserTokens(MemoryLedger(lambda: now), lifetime=60)
    first, second = await tokens.issue(principal), await tokens.issue(ANYONE)
    assert await tokens.redeem(first) == principal
    assert await tokens.redeem(first) is None
    now = 60.0
    assert await tokens.redeem(second) is None


@pytest.mark.anyio
async def test_tokens_do_not_pile_up() -> None:
    tokens = BrowserTokens(MemoryLedger(lambda: 0.0))
    oldest = await tokens.issue(ANYONE)
    newest = [await tokens.issue(ANYONE) for _ in range(10_000)][-1]
    assert await tokens.redeem(oldest) is None
    assert await tokens.redeem(newest) == ANYONE


@pytest.mark.parametrize(
    ("headers", "query", "subprotocols", "key"),
    [
        ({"authorization": "Bearer k"}, {"token": "q"}, ["token.s"], "k"),
        ({"authorization": "token k"}, {}, [], "k"),
        ({"x-api-key": "k"}, {"token": "q"}, ["token.s"], "k"),
        ({"api-key": "k"}, {}, [], "k"),
        ({"authorization": "Basic k"}, {"token": "q"}, ["streaming-asr.v1", "token.s"], "s"),
        ({}, {"token": "q"}, ["streaming-asr.v1"], "q"),
        ({"authorization": "Bearer "}, {}, [], None),
        ({}, {}, [], None),
    ],
)
def test_where_a_key_may_stand(
    headers: dict[str, str], query: dict[str, str], subprotocols: list[str], key: str | None
) -> None:
    assert presented_key(headers, query, subprotocols) == key


def test_the_subprotocol_that_is_answered_is_never_the_key() -> None:
    assert chosen_subprotocol(["token.secret", "streaming-asr.v1"]) == "streaming-asr.v1"
    assert chosen_subprotocol(["token.secret"]) is None


def test_a_page_of_the_server_itself_is_always_welcome() -> None:
    assert origin_allowed({"origin": "https://asr.example", "host": "ASR.example"}, ())
    assert not origin_allowed({"origin": "https://asr.example.evil", "host": "asr.example"}, ())
    assert not origin_allowed({"origin": "https://asr.example"}, ())
    assert not origin_allowed({"origin": "https://asr.example:8443", "host": "asr.example:8444"}, ())


def test_a_page_is_known_by_its_name_where_a_proxy_has_taken_the_port_away() -> None:
    assert origin_allowed({"origin": "https://asr.example:8443", "host": "asr.example"}, ())
    assert origin_allowed({"origin": "http://[::1]:8080", "host": "[::1]"}, ())
    assert not origin_allowed({"origin": "https://evil.example:8443", "host": "asr.example"}, ())
    assert not origin_allowed({"origin": "null", "host": "asr.example"}, ())
    assert not origin_allowed({"origin": "https://[", "host": "asr.example"}, ())


def test_a_new_key_fits_into_a_subprotocol() -> None:
    assert set(new_key()) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
