"""Firefox with a fake microphone, spoken to by WebDriver BiDi: playwright does not drive the Firefox that people have.

Source: W3C, WebDriver BiDi, working draft.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

from tests.web.serving import PATIENCE_SECONDS, free_port

PREFERENCES: Final = {
    "media.navigator.streams.fake": "true",
    "media.navigator.permission.disabled": "true",
    "browser.shell.checkDefaultBrowser": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "app.update.enabled": "false",
}


def firefox() -> str | None:
    """Where Firefox is."""
    return next(filter(None, map(shutil.which, ("firefox", "firefox-esr"))), None)


class FirefoxPage:
    """The page of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket: Final = socket
        self._numbers: Final = count(1)
        self._call("session.new", capabilities={})
        self._page: Final = self._call("browsingContext.getTree")["contexts"][0]["context"]

    def goto(self, url: str) -> None:
        """Open an address, and wait until it has loaded."""
        self._call("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, a string or number, as if a person had just touched the page."""
        target = {"context": self._page}
        answer = self._call(
            "script.evaluate", expression=expression, target=target, awaitPromise=True, userActivation=True
        )
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(PATIENCE_SECONDS))).get("id") != number:
            pass
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result


@contextmanager
def firefox_page(profile: Path) -> Iterator[FirefoxPage]:
    """A Firefox of its own, with a new profile in a folder."""
    lines = [f'user_pref("{name}", {value});' for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    port = free_port()
    command = [firefox() or "firefox", "--headless", "--no-remote", "--profile", str(profile)]
    command += ["--remote-debugging-port", str(port), "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with _connected(process, port) as socket:
                yield FirefoxPage(socket)
        finally:
            process.terminate()


def _connected(process: subprocess.Popen[bytes], port: int) -> ClientConnection:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Firefox ended with {process.returncode}"
        try:
            return connect(f"ws://127.0.0.1:{port}/session", max_size=None)
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"Firefox could not be reached for {PATIENCE_SECONDS} s")
