"""Secrets are good until they expire, and there are never too many."""

from __future__ import annotations

import pytest
from streaming_asr_server.access.authentication import Principal
from streaming_asr_server.protocols.openai import client_secrets
from streaming_asr_server.protocols.openai.client_secrets import ClientSecrets
from streaming_asr_server.protocols.openai.session_settings import SessionSettings

ALI = Principal(name="ali")
SETTINGS = SessionSettings.default("m")


class Time:
    now = 1_000.5

    def __call__(self) -> float:
        return self.now


def test_a_secret_is_good_until_it_expires() -> None:
    time = Time()
    secrets = ClientSecrets(time)
    secret, expires_at = secrets.issue(ALI, SETTINGS, seconds=60)
    assert secret.startswith("ek_")
    assert expires_at == 1_060
    time.now = 1_059.9
    grant = secrets.find(secret)
    assert grant is not None
    assert (grant.principal, grant.settings) == (ALI, SETTINGS)
    time.now = 1_060
    assert secrets.find(secret) is None


def test_other_words_are_no_secrets() -> None:
    secrets = ClientSecrets(Time())
    secret, _ = secrets.issue(ALI, SETTINGS)
    assert secrets.find(secret.removeprefix("ek_")) is None
    assert secrets.find("ek_") is None


def test_the_oldest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_secrets, "MAXIMUM_SECRETS", 3)
    secrets = ClientSecrets(Time())
    issued = [secrets.issue(ALI, SETTINGS)[0] for _ in range(5)]
    assert [secrets.find(secret) is not None for secret in issued] == [False, False, True, True, True]
