"""Chromium with a fake microphone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

OpenBrowser: TypeAlias = Callable[..., Any]
"""Opens a browser; takes the WAV file that its microphone plays, and more flags."""

FLAGS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
    "--use-fake-device-for-media-stream",
    # A page that a test answers has no address: Chromium takes it for a public one, which must ask for loopback.
    "--disable-features=LocalNetworkAccessChecks",
)
ALLOWED: Final = "--use-fake-ui-for-media-stream"
DENIED: Final = "--deny-permission-prompts"


def chromium() -> str | None:
    """Where Chromium is: `CHROMIUM`, or on the path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def launched(playwright: Any, wav: Path | None = None, *more: str) -> Any:
    """A browser; its pages may use the microphone unless `more` says `DENIED`."""
    microphone = [f"--use-file-for-fake-audio-capture={wav}%noloop"] if wav else []
    allowed = [] if DENIED in more else [ALLOWED]
    flags = [*FLAGS, *allowed, *microphone, *more]
    return playwright.chromium.launch(executable_path=chromium(), args=flags, headless=True, chromium_sandbox=False)
