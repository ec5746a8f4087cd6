"""Which home a ledger has, from what the options say."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streaming_asr.errors import OptionError
from streaming_asr_server.access.ledger.interface import Ledger, LedgerError
from streaming_asr_server.access.ledger.memory import MemoryLedger
from streaming_asr_server.access.ledger.redis import RedisLedger
from streaming_asr_server.access.ledger.sqlite import SqliteLedger

_REDIS: Final = ("redis://", "rediss://", "unix://")


def open_ledger(home: str, *, worker: str) -> Ledger:
    """The ledger at `memory`, in a file of SQLite, or in Redis, for the worker of this name.

    Raises:
        MissingExtraError: it needs a package that is not installed.
        OptionError: it cannot be opened.
    """
    try:
        if home == "memory":
            return MemoryLedger()
        if home.startswith(_REDIS):
            return RedisLedger(home, worker=worker)
        return SqliteLedger(Path(home), worker=worker)
    except LedgerError as error:
        raise OptionError(f"{error}; ledger must be 'memory', a file, or redis://HOST") from error


def process_name() -> str:
    """A name of this process among all that share a ledger.

    Host and process id do not suffice: containers that share the network of their machine have its name, and each has
    one process, 1. So a part is drawn by lot.
    """
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def usual_file(host: str, port: int, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the ledger of a server at this address lies unless told otherwise.

    In the first of `STATE_DIRECTORY` (systemd's), `XDG_STATE_HOME`, the user's own folder for such files, and the
    folder of temporary files.
    """
    name = f"ledger-{hashlib.sha256(host.encode()).hexdigest()[:8]}-{port}.sqlite"
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0], name)
    if given := environment.get("XDG_STATE_HOME"):
        return Path(given, "streaming-asr", name)
    home = Path(environment.get("HOME", "/nonexistent"), ".local", "state")
    return (
        (home if home.is_dir() or home.parent.parent.is_dir() else Path(tempfile.gettempdir())) / "streaming-asr" / name
    )
