"""What a test sees of a page: its websockets, its captions as they change, and everything that went wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Message: TypeAlias = dict[str, Any]
Pcm: TypeAlias = npt.NDArray[np.int16]

_OBSERVER = Path(__file__).with_name("observer.js")


@dataclass
class Socket:
    """One websocket: what the page sent, and what it was told."""

    sent: list[str | bytes] = field(default_factory=list)
    heard: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """The page's text messages."""
        return [json.loads(data) for data in self.sent if isinstance(data, str)]

    @property
    def started(self) -> Message | None:
        """The answer to the page's `start`, if one came."""
        return next((message for message in self.heard if message["type"] == "started"), None)


@dataclass
class Watched:
    """A page with all that was seen of it."""

    page: Any
    sockets: list[Socket] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def finals(self) -> list[str]:
        """The utterances of the transcript, as they stand on the page."""
        texts: list[str] = self.page.locator("#utterances li > span").all_text_contents()
        return texts

    def messages(self, *kinds: str) -> list[Message]:
        """What the server said, over all connections."""
        return [message for socket in self.sockets for message in socket.heard if message["type"] in kinds]

    def seen(self) -> list[Message]:
        """The captions, every time that they changed: `finals` (their number), `committed`, `tail`."""
        seen: list[Message] = self.page.evaluate("window.captionsSeen")
        return seen

    def violations(self) -> list[str]:
        """What the page's security policy has blocked."""
        violations: list[str] = self.page.evaluate("window.violations")
        return violations

    def start(self) -> None:
        """Press the button and wait until the server listens."""
        self.page.click("#start")
        self.wait_for_phase("listening")

    def stop(self) -> None:
        """Press the button and wait for the last words."""
        self.page.click("#start")
        self.wait_for_phase("idle")

    def wait_for_phase(self, phase: str) -> None:
        self.page.wait_for_selector(f'body[data-phase="{phase}"]', timeout=60_000)

    def notice(self) -> str:
        """The message to the person, once there is one."""
        self.page.wait_for_selector("#notice:not([hidden])", timeout=20_000)
        text: str = self.page.inner_text("#notice-text")
        return text


def watch(page: Any) -> Watched:
    """Watch a page from before it is opened."""
    watched = Watched(page)
    page.on("websocket", lambda websocket: watched.sockets.append(_recorded(websocket)))
    page.on("pageerror", lambda error: watched.problems.append(f"error: {error}"))
    page.on("console", lambda said: watched.problems.extend(_complaint(said)))
    page.add_init_script(path=_OBSERVER)
    return watched


def _complaint(said: Any) -> list[str]:
    place = said.location
    return [f"{said.text} ({place['url']}:{place['lineNumber']})"] if said.type in ("error", "warning") else []


def _recorded(websocket: Any) -> Socket:
    socket = Socket()
    websocket.on("framesent", lambda data: socket.sent.append(data))
    websocket.on("framereceived", lambda data: socket.heard.append(json.loads(data)))
    return socket


def audio_sent(sockets: Sequence[Socket]) -> Pcm:
    """The audio of a stream, put together from all of its connections; shape (samples,).

    Asserts that what was sent twice was the same, and that nothing is missing in between.
    """
    whole: Pcm = np.zeros(0, np.int16)
    for socket in sockets:
        pieces = [np.frombuffer(data, "<i2") for data in socket.sent if isinstance(data, bytes)]
        sent: Pcm = np.concatenate([np.zeros(0, np.int16), *pieces])
        if socket.started is None:
            continue
        first = socket.started["first_sample"]
        assert first <= len(whole), f"the server wants audio from sample {first} on; the page had sent {len(whole)}"
        again = min(len(whole) - first, len(sent))
        np.testing.assert_array_equal(sent[:again], whole[first : first + again])
        whole = np.concatenate([whole, sent[again:]])
    return whole
