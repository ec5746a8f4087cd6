"""Environments with the client packages of other services, as they come from the registry; some cannot live together.

`python tests/clients/environments.py` makes all of them under `.venv-clients/`; those that are there stay. The tests
use what is there, and skip what is not.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / ".venv-clients"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of this name with these packages."""

    name: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """Whether it is there, with just these packages."""
        return self._stamp.is_file() and self._stamp.read_text() == self._wanted

    def make(self) -> str:
        """Create it unless it is ready; returns what was done. Raises CalledProcessError if pip fails."""
        if self.ready:
            return f"{self.name}: there"
        venv.create(self.folder, with_pip=True, clear=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *self.packages], check=True)
        self._stamp.write_text(self._wanted)
        return f"{self.name}: made"

    @property
    def _stamp(self) -> Path:
        return self.folder / "packages"

    @property
    def _wanted(self) -> str:
        return hashlib.sha256(" ".join((sys.version, *self.packages)).encode()).hexdigest()


CURRENT: Final = Environment(
    "current",
    (
        "deepgram-sdk==7.17.0",
        "openai[realtime]==3.54.0",
        "pipecat-ai[deepgram,openai]==1.14.0",
        "livekit-plugins-deepgram==1.8.9",
    ),
)
FORMER: Final = Environment("former", ("deepgram-sdk==3.10.1", "openai[realtime]==1.99.0"))
"""What programs use that were written before the interfaces changed."""

VOICE: Final = Environment("voice", ("wyoming[http,zeroconf]==1.10.2", "vosk==0.3.45", "twilio==9.13.0"))
"""Home Assistant's protocol with its HTTP gateway, Vosk's client, and Twilio's own check of signatures."""

ALL: Final = (CURRENT, FORMER, VOICE)


def make(environments: Iterable[Environment] = ALL) -> None:
    """Make those that are not there, at the same time."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    with ThreadPoolExecutor(max_workers=len(ALL)) as workers:
        for done in workers.map(Environment.make, environments):
            print(done, flush=True)


if __name__ == "__main__":
    make()
