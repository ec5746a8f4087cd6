"""Servers with the scripted recognizer, on a real socket, for tests of everything but the words."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
