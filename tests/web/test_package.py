"""The JavaScript package in Node, against real servers, over a network that breaks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from streaming_asr_server.access.authentication import hash_key, new_key

from streaming_asr import Recognizer
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import Final, Word
from streaming_asr.protocol import close_is_resumable
from tests.web.cutting import cutable
from tests.web.nodes import nodes, said, started
from tests.web.serving import demo, free_port, scripted_serving, serving

pytestmark = pytest.mark.timeout(300)

PACKAGE: typing.Final = Path(__file__).parents[2] / "client" / "javascript"
SENTENCES: typing.Final = 6


@pytest.fixture(params=nodes() or [""])
def node(request: pytest.FixtureRequest) -> str:
    if not request.param:
        pytest.skip("there is no Node here")
    return str(request.param)


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    with scripted_serving() as address:
        yield address


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The real server with the embedded model."""
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An utterance of five words every second, as a file of 16-bit samples."""
    levels = np.tile(np.repeat([0.3, 0.0], SAMPLE_RATE // 2), SENTENCES)
    levels[::2] *= -1
    path = tmp_path_factory.mktemp("tones") / "tones.raw"
    path.write_bytes((levels * 32767).astype("<i2").tobytes())
    return path


def finals(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == "final"]


def test_words_come_back_and_the_last_event_is_finished(node: str, scripted: str, tones: Path) -> None:
    events = said(started(node, "transcribe.mjs", scripted, str(tones), "0"))
    assert [event["type"] for event in (events[0], events[-1])] == ["started", "finished"]
    assert events[-1]["samples"] == SENTENCES * SAMPLE_RATE
    assert [final["text"] for final in finals(events)] == ["w300 w300 w300 w300 w300"] * SENTENCES


def test_a_connection_that_is_cut_loses_no_word_and_doubles_none(node: str, scripted: str, tones: Path) -> None:
    with cutable(urlsplit(scripted).port or 0) as way:
        process = started(node, "transcribe.mjs", way.address, str(tones), "1")
        for down in (0.1, 1.0):
            time.sleep(1.7)
            way.cut()
            time.sleep(down)
            way.mend()
        events = said(process)
    assert [event["resumed"] for event in events if event["type"] == "started"] == ["no", "session", "session"]
    assert [final["start"] for final in finals(events)] == pytest.approx(range(SENTENCES), abs=0.11)
    assert [final["text"] for final in finals(events)] == ["w300 w300 w300 w300 w300"] * SENTENCES
    assert [event["utterance"] for event in events if event["type"] == "speech_ended"] == list(range(SENTENCES))


def test_another_server_goes_on_where_the_first_one_was_killed(node: str, tones: Path) -> None:
    port = free_port()
    with scripted_serving(port=port) as address:
        process = started(node, "transcribe.mjs", address, str(tones), "1")
        time.sleep(2.7)
    with scripted_serving(port=port):
        events = said(process)
    assert [event["resumed"] for event in events if event["type"] == "started"] == ["no", "position"]
    assert [final["text"] for final in finals(events)] == ["w300 w300 w300 w300 w300"] * SENTENCES


def test_what_the_library_hears_is_what_the_package_is_told(node: str, server: str, tmp_path: Path) -> None:
    samples = (demo(7) * 32767).astype("<i2")
    (tmp_path / "demo.raw").write_bytes(samples.tobytes())
    events = said(started(node, "transcribe.mjs", server, str(tmp_path / "demo.raw"), "0"), 120)
    with Recognizer.load() as recognizer:
        stream = recognizer.stream(encoding="linear16", sample_rate=SAMPLE_RATE)
        expected = [*stream.push(samples.tobytes()), *stream.finish()]
    assert [final["text"] for final in finals(events)] == [each.text for each in expected if isinstance(each, Final)]
    assert finals(events)[0]["words"][0].keys() >= set(Word.__dataclass_fields__) - {"joined"}


def test_a_key_is_asked_for_and_let_in(node: str, tones: Path, tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "keys.toml").write_text(f'[[keys]]\nname = "someone"\nsha256 = "{hash_key(key)}"\n')
    with scripted_serving(str(tmp_path / "keys.toml")) as address:
        asked = said(started(node, "transcribe.mjs", address, str(tones), "0"))
        refused = said(started(node, "transcribe.mjs", address, str(tones), "0", '{"key": "wrong"}'))
        let_in = said(started(node, "transcribe.mjs", address, str(tones), "0", json.dumps({"key": key})))
    assert [events[0]["code"] for events in (asked, refused)] == ["key_needed", "unauthorized"]
    assert len(finals(let_in)) == SENTENCES


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"language": "xx"}, "language is 'xx'"),
        ({"langauge": "en"}, "there is no option langauge"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    node: str, scripted: str, tones: Path, options: dict[str, Any], reason: str
) -> None:
    events = said(started(node, "transcribe.mjs", scripted, str(tones), "0", json.dumps(options)))
    assert reason in events[-1]["message"]


def test_a_server_that_is_not_there_is_told_after_the_patience(node: str, tones: Path) -> None:
    address = f"ws://127.0.0.1:{free_port()}"
    (event,) = said(started(node, "transcribe.mjs", address, str(tones), "0", '{"patienceSeconds": 0.5}'))
    assert event["code"] == "unreachable"


def test_the_package_resumes_after_the_same_closes(node: str) -> None:
    codes = [*range(1000, 1016), *range(4400, 4600)]
    module = (PACKAGE / "src" / "protocol.js").as_uri()
    program = f"import({module!r}).then((all) => console.log(JSON.stringify({codes}.map(all.closeIsResumable))))"
    answer = subprocess.run([node, "--eval", program], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [close_is_resumable(code) for code in codes]


def test_what_is_published_is_whole() -> None:
    package = json.loads((PACKAGE / "package.json").read_text("utf-8"))
    assert "dependencies" not in package
    assert (PACKAGE / "LICENSE").read_text("utf-8") == (PACKAGE.parents[1] / "LICENSE").read_text("utf-8")
    exported = (PACKAGE / "src" / "index.js").read_text("utf-8")
    names = {name.strip() for names in re.findall(r"export \{([^}]*)\}", exported) for name in names.split(",")}
    declared = (PACKAGE / "src" / "index.d.ts").read_text("utf-8")
    assert names == set(re.findall(r"^export (?:function|class|const) (\w+)", declared, re.MULTILINE))


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
def test_npm_packs_the_modules_and_nothing_else() -> None:
    command = ["npm", "pack", "--dry-run", "--json", "--offline"]
    (packed,) = json.loads(subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True).stdout)
    files = {entry["path"] for entry in packed["files"]}
    modules = {f"src/{path.name}" for path in (PACKAGE / "src").iterdir()}
    assert files == {"LICENSE", "README.md", "package.json", *modules}
