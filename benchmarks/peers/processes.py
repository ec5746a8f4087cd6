"""Servers as processes: started, waited for, measured with all their children, ended."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOG_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Use:
    """Processor time in seconds, and the largest resident memory so far in MiB."""

    cpu: float
    memory: float


def use(pid: int) -> Use:
    """What a process and its living descendants have used."""
    family = _family(pid)
    return Use(sum(map(_cpu, family)), sum(map(_peak_memory, family)))


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    port: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    ready: str = "",
    patience: float = 180.0,
) -> AsyncIterator[int]:
    """A server process from when it listens on `port` and, if it has one, answers its route `ready` with 200.

    Gives its id. Raises RuntimeError with the end of its log if it ends or is not ready within `patience` seconds.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        await _listening(process, port, log, ready, patience)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int, log: Path, ready: str, patience: float) -> None:
    deadline = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < deadline and process.returncode is None:
        if await _answers(port, ready):
            return
        await asyncio.sleep(0.2)
    raise RuntimeError(f"nothing is ready on port {port}; the end of {log}:\n{_last_lines(log)}")


async def _answers(port: int, ready: str) -> bool:
    """Whether a connection is accepted and, where there is a route to ask, it says 200."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            if not ready:
                return True
            writer.write(f"GET {ready} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return (await reader.readline()).split()[1:2] == [b"200"]
    except OSError:
        return False


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])


def _family(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    family = [pid]
    for one in family:
        family += [child for child, parent in parents.items() if parent == one]
    return family


def _stat(pid: int) -> list[str]:
    """The fields of a process behind its name; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _peak_memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
