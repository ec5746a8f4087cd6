"""Install a wheel in empty environments outside the repository and use it there: `make dist` runs this.

One environment gets the extra `server` and runs the demo and a server; the other gets nothing but the base install
and asks that server. Both must find only what the wheel brings. The JavaScript package, packed by npm, is installed in
an empty folder and asks the server from Node.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
MOST_BYTES = 60_000_000
CONTENTS = (
    "streaming_asr/py.typed",
    "streaming_asr/embedded/demo.flac",
    "streaming_asr/embedded/english/model.safetensors",
    "streaming_asr_client/__init__.py",
    "streaming_asr_server/web/index.html",
    "streaming_asr_server/javascript/index.js",
)
SOURCES = (
    "pyproject.toml",
    "Makefile",
    "constraints.txt",
    "LICENSE",
    "streaming_asr/embedded/english/model.safetensors",
    "server/streaming_asr_server/command.py",
    "client/web/index.html",
    "client/javascript/package.json",
    "tests/conftest.py",
    "docs/index.md",
)
REFERENCE = re.compile(r"""(?:from|import|src=|href=)\s*\(?["'](?P<path>[\w./-]+\.(?:js|css|svg))["']""")


def check_wheel(wheel: Path) -> None:
    """It holds the model and the page, and is no larger than promised."""
    size = wheel.stat().st_size
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [name for name in CONTENTS if name not in names]
    assert not missing, f"{wheel.name} lacks {missing}"
    assert size < MOST_BYTES, f"{wheel.name} has {size} bytes; at most {MOST_BYTES} are promised"
    foreign = {name.partition("/")[0] for name in names if not name.startswith("streaming_asr")}
    assert not foreign, f"{wheel.name} brings {foreign}"
    print(f"{wheel.name}: {size / 1e6:.1f} MB, {len(names)} files")


def environment(folder: Path, requirement: str) -> Path:
    """An empty environment with the requirement alone; gives its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([str(folder / "bin" / "python"), *install, *constraints, requirement], check=True)
    return folder / "bin"


def said(programs: Path, folder: Path, *arguments: str) -> str:
    """What the installed program prints, run outside the repository."""
    return output_of([str(programs / "streaming-asr"), *arguments], folder)


def output_of(command: list[str], folder: Path) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def demonstrate(programs: Path, folder: Path) -> None:
    recording = installed(programs) / "embedded"
    wanted = (recording / "demo.txt").read_text("utf-8")
    check_words("transcribe", wanted, said(programs, folder, "transcribe", str(recording / "demo.flac")))
    assert said(programs, folder, "demo").strip(), "the demo prints nothing"


def check_words(name: str, wanted: str, found: str) -> None:
    """Most of the words are there: which ones is not the concern of a package."""
    found_words = words(found)
    right = [word in found_words for word in words(wanted)]
    print(f"{name}: {sum(right)} of {len(right)} words")
    assert sum(right) >= 0.7 * len(right), f"{name} found {found}"


def installed(programs: Path) -> Path:
    """Where the package lies; it must be in the environment."""
    script = "import pathlib, streaming_asr; print(pathlib.Path(streaming_asr.__file__).parent)"
    place = Path(run_script(programs, programs, script))
    assert programs.parent in place.parents, f"{place} is not in {programs.parent}"
    return place


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer")


def walk_page(address: str) -> int:
    """Fetch the page and all that it names, however deep; gives the number of files."""
    waiting, seen = [address], {address}
    while waiting:
        url = waiting.pop()
        with urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
        found = {urljoin(url, match["path"]) for match in REFERENCE.finditer(text)}
        waiting += found - seen
        seen |= found
    return len(seen)


def round_trip(server_programs: Path, client_programs: Path, module: Path | None, folder: Path) -> None:
    """The base install and Node send the demo's recording to a server and get its words, and the page comes whole."""
    recording = installed(server_programs) / "embedded" / "demo.flac"
    port = free_port()
    server = subprocess.Popen([server_programs / "streaming-asr", "serve", "--port", str(port)], cwd=folder)
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", server)
        print(f"page: {walk_page(f'http://127.0.0.1:{port}/')} files")
        run_script(server_programs, folder, TO_RAW, str(recording), "demo.raw")
        wanted = recording.with_suffix(".txt").read_text("utf-8")
        text = run_script(client_programs, folder, CLIENT, f"ws://127.0.0.1:{port}", "demo.raw")
        check_words("client and server", wanted, text)
        if module is not None:
            command = ["node", "ask.mjs", f"ws://127.0.0.1:{port}", str(folder / "demo.raw")]
            check_words("Node and server", wanted, output_of(command, module))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)


def run_script(programs: Path, folder: Path, script: str, *arguments: str) -> str:
    return output_of([str(programs / "python"), "-I", "-c", script, *arguments], folder).strip()


TO_RAW = """
import sys
import numpy as np
from streaming_asr import FileSource
with FileSource(sys.argv[1]) as source:
    samples = np.concatenate(list(source))
    content = source.sample_rate.to_bytes(4, "little") + (samples * 32767).astype("<i2").tobytes()
open(sys.argv[2], "wb").write(content)
"""

CLIENT = """
import asyncio, sys
from streaming_asr_client import connect

async def main():
    content = open(sys.argv[2], "rb").read()
    async with connect(sys.argv[1], sample_rate=int.from_bytes(content[:4], "little")) as stream:
        await stream.send(content[4:])
        await stream.finish()
        print(*[event.text async for event in stream if type(event).__name__ == "Final"])

asyncio.run(main())
assert "torch" not in sys.modules
"""


NODE_CLIENT = """
import { readFile } from "node:fs/promises";
import { connect } from "streaming-asr";

const content = await readFile(process.argv[3]);
const stream = await connect(process.argv[2], { sampleRate: content.readUInt32LE(0) });
const sent = stream.send(new Uint8Array(content.subarray(4))).then(() => stream.finish());
for await (const event of stream) if (event.type === "final") console.log(event.text);
await sent;
"""


def node_module(dist: Path, folder: Path) -> Path | None:
    """An empty folder with the JavaScript package from `dist` alone and a program that uses it; None without npm."""
    if shutil.which("npm") is None:
        print("no npm here: the JavaScript package is left out")
        return None
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true}')
    (package,) = dist.glob("*.tgz")
    command = ["npm", "install", "--offline", "--silent", "--no-audit", "--no-fund", str(package)]
    subprocess.run(command, cwd=folder, check=True, timeout=600)
    installed_names = {path.name for path in (folder / "node_modules").iterdir() if not path.name.startswith(".")}
    assert installed_names == {"streaming-asr"}, f"{package.name} brings {installed_names}"
    (folder / "ask.mjs").write_text(NODE_CLIENT)
    return folder


def check_sdist(sdist: Path) -> None:
    """It holds what a wheel is built from, and the tests."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = [name for name in SOURCES if name not in names]
    assert not missing, f"{sdist.name} lacks {missing}"
    print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB, {len(names)} files")


def main() -> None:
    """Check what lies in the folder that is named, in every way."""
    dist = Path(sys.argv[1]).resolve()
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    check_wheel(wheel)
    check_sdist(sdist)
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = environment(folder / "server", f"{wheel}[server]")
        demonstrate(server, folder)
        client = environment(folder / "client", str(wheel))
        round_trip(server, client, node_module(dist, folder / "node"), folder)


if __name__ == "__main__":
    main()
