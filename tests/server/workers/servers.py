"""Servers of several workers as processes, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.server.test_chaos import free_port

SCRIPT = Path(__file__).with_name("scripted_workers.py")
PATIENCE = 150.0
"""Processes start slowly on a machine that is busy."""


class WorkersServer:
    """A supervisor's process; what it and its workers log lies in a file."""

    def __init__(self, folder: Path, *, workers: int = 2, fault: Path | None = None, **options: Any) -> None:
        self.port = free_port()
        self.log = folder / "log"
        self.extra_ports: dict[str, int] = {}
        given = {"port": self.port, "workers": workers, "ledger": str(folder / "ledger"), **options}
        environment = {**os.environ, "TEST_FAULT": str(fault or ""), "TMPDIR": str(folder)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), json.dumps(given)],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def entries(self, message: str) -> list[dict[str, Any]]:
        """Lines of the log with this message; the last one may not be complete yet."""
        complete = self.log.read_text().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in complete if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    def pids(self) -> dict[int, int]:
        """The process of each worker that was started last."""
        return {entry["worker"]: entry["pid"] for entry in self.entries("worker started")}

    def wait_ready(self, times: int) -> None:
        """Wait until workers have become ready so often, all of them together."""
        wait(lambda: len(self.entries("ready")) >= times or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def metric(self, name: str) -> float:
        """A metric of this name, with these labels if it has any."""
        with urlopen(f"{self.http}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"streaming_asr_{name} "))

    def readiness(self) -> tuple[int, str]:
        try:
            with urlopen(f"{self.http}/readyz", timeout=30) as answer:
                return answer.status, json.loads(answer.read())["status"]
        except URLError as error:
            return getattr(error, "code", 0), json.loads(error.read())["status"] if hasattr(error, "read") else ""

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; gives the exit code and the standard output."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output


@contextmanager
def workers_server(folder: Path, **options: Any) -> Iterator[WorkersServer]:
    """One that is ready with all of its workers, and is gone behind the context."""
    server = WorkersServer(folder, **options)
    try:
        server.wait_ready(options.get("workers", 2))
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


def wait(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
