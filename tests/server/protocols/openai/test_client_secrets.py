"""Secrets are good until they expire, and there are never too many."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streaming_asr_server.access.authentication import Principal
from streaming_asr_server.access.ledger.interface import MAXIMUM_TOKENS
from streaming_asr_server.access.ledger.memory import MemoryLedger
from streaming_asr_server.protocols.openai.client_secrets import ClientSecrets
from streaming_asr_server.protocols.openai.session_settings import SessionSettings

pytestmark = pytest.mark.anyio

ALI = Principal(name="ali")
SETTINGS = replace(SessionSettings.default("m"), include=("item.input_audio_transcription.logprobs",))


class Time:
    now = 1_000.5

    def __call__(self) -> float:
        return self.now


async def test_a_secret_is_good_until_it_expires() -> None:
    time = Time()
    secrets = ClientSecrets(MemoryLedger(time), time)
    secret, expires_at = await secrets.issue(ALI, SETTINGS, seconds=60)
    assert secret.startswith("ek_")
    assert expires_at == 1_060
    time.now = 1_059.9
    grant = await secrets.find(secret)
    assert grant is not None
    assert (grant.principal, grant.settings) == (ALI, SETTINGS)
    time.now = 1_060
    assert await secrets.find(secret) is None


async def test_other_words_are_no_secrets() -> None:
    secrets = ClientSecrets(MemoryLedger(), Time())
    secret, _ = await secrets.issue(ALI, SETTINGS)
    assert await secrets.find(secret.removeprefix("ek_")) is None
    assert await secrets.find("ek_") is None


async def test_the_oldest_gives_way() -> None:
    secrets = ClientSecrets(MemoryLedger(), Time())
    oldest, _ = await secrets.issue(ALI, SETTINGS)
    for _ in range(MAXIMUM_TOKENS - 1):
        newest, _ = await secrets.issue(ALI, SETTINGS)
    assert await secrets.find(oldest) is not None
    await secrets.issue(ALI, SETTINGS)
    assert [await secrets.find(secret) is not None for secret in (oldest, newest)] == [False, True]
