"""What a figure was measured on: the machine, the commit and the versions of what computes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

PACKAGES: Final = ("streaming-asr", "torch", "numpy", "transformers", "pyctcdecode", "soxr", "webrtcvad-wheels")


def describe() -> list[str]:
    """Lines for the head of a report: processor, cores, memory, accelerator, load, commit, versions."""
    return [
        f"machine   {processor()}, {len(os.sched_getaffinity(0))} cores, {memory_gib():.0f} GiB, {capability()}",
        f"load      {', '.join(f'{value:.2f}' for value in os.getloadavg())} (1, 5, 15 min)",
        f"commit    {commit()}",
        f"versions  Python {platform.python_version()}, {', '.join(versions())}",
    ]


def print_machine() -> None:
    """Print `describe()` under the command that runs."""
    print(f"command   {' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}")
    print("\n".join(describe()), end="\n\n", flush=True)


def processor() -> str:
    """The processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_gib() -> float:
    """Main memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def capability() -> str:
    """Instruction set that torch uses, and the accelerator if there is one."""
    import torch

    accelerator = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads{accelerator}"


def commit() -> str:
    """The commit of this folder; `+` behind it if files differ from it."""
    here = Path(__file__).parent
    try:
        name = _git(here, "rev-parse", "--short=12", "HEAD")
        return name + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none (not a git checkout)"


def versions() -> list[str]:
    """Name and version of what computes, as far as it is installed."""
    return [f"{name} {installed}" for name in PACKAGES if (installed := _version(name))]


def resident_mib() -> float:
    """Memory of this process that is in RAM now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    print_machine()
