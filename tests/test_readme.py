"""The README's Python snippets run as they stand; a file stands in for the microphone."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile

import streaming_asr
from streaming_asr import FileSource
from streaming_asr.command_line.demo import RECORDING

ROOT = Path(__file__).parent.parent
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
SERVER = ROOT / "tests" / "server" / "scripted_server.py"
ADDRESS = "127.0.0.1:8765"


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the snippets name, in the folder that they run in; the microphone plays it too."""
    path = tmp_path / "talk.mp3"
    samples, rate = soundfile.read(RECORDING)
    soundfile.write(path, samples[: 4 * rate], rate)
    monkeypatch.setattr(streaming_asr, "Microphone", lambda: FileSource(path), raising=False)
    monkeypatch.chdir(tmp_path)
    return path


@contextlib.contextmanager
def scripted_server() -> Iterator[str]:
    """A server process; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SERVER), str(port)])
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport) as client:
            client.get(f"http://127.0.0.1:{port}/healthz")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("snippet", [snippet for snippet in SNIPPETS if ADDRESS not in snippet])
def test_a_snippet_of_the_readme_runs(snippet: str, talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet, "README.md", "exec"), {})
    if "talk.mp3" in snippet:
        assert "-->" in capsys.readouterr().out


@pytest.mark.parametrize("snippet", [snippet for snippet in SNIPPETS if ADDRESS in snippet])
def test_a_snippet_for_a_server_runs(snippet: str, talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted_server() as address:
        exec(compile(snippet.replace(ADDRESS, address), "README.md", "exec"), {})
    assert re.search(r"w\d+", capsys.readouterr().out)


def test_the_readme_has_snippets_of_both_kinds() -> None:
    assert sum(ADDRESS in snippet for snippet in SNIPPETS) >= 1
    assert len(SNIPPETS) >= 4
