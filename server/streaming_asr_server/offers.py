"""Where the sockets find who may take a message on the spot, without waking a task for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Offer: TypeAlias = Callable[[str | bytes], bool]
"""Takes a message on the spot, or leaves it to be received; must not raise."""


class Offers:
    """Who may take messages of one websocket now; it is in the scope of the websocket, under `KEY`."""

    KEY: Final = "streaming_asr.offers"

    def __init__(self) -> None:
        self.offer: Offer | None = None
