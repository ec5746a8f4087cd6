"""The real command with the embedded model and the bundled recording, in a process of its own where that matters."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import soundfile

from streaming_asr.command_line import application
from streaming_asr.command_line.demo import RECORDING, REFERENCE

COMMAND = (sys.executable, "-m", "streaming_asr.command_line")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Done:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


class Standard:
    """Stands in for `sys.stdin`."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)

    def isatty(self) -> bool:
        return False


def run(*arguments: str, stdin: bytes = b"") -> Done:
    """Run a command in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "stdin", Standard(stdin)),
        patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}),
    ):
        code = application.run(arguments)
    return Done(code, _written(out), _written(err))


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def run_apart(*arguments: str | bytes, **environment: str) -> Done:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments], input=b"", capture_output=True, env=ENVIRONMENT | environment, timeout=240
    )
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return Done(done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding))


@cache
def demo_events() -> Sequence[dict[str, Any]]:
    """All events of the bundled recording."""
    done = run("transcribe", str(RECORDING), "--format", "events")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(*arguments: str, code: int = 2, apart: bool = False) -> str:
    """Run a command that must fail in one line; returns the line."""
    done = run_apart(*arguments) if apart else run(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("streaming-asr: ")
    return lines[0]


def test_every_utterance_has_partials_before_its_final() -> None:
    for utterance in {event["utterance"] for event in demo_events()}:
        kinds = [event["type"] for event in demo_events() if event["utterance"] == utterance]
        assert kinds[0] == "SpeechStarted"
        assert kinds[1] == "Partial"
        assert kinds[-2:] == ["Final", "SpeechEnded"]
        assert set(kinds[1:-2]) == {"Partial"}


def test_every_sentence_of_the_recording_is_an_utterance() -> None:
    finals = [event for event in demo_events() if event["type"] == "Final"]
    assert len(finals) == len(REFERENCE.read_text(encoding="utf-8").splitlines())


def test_finals_begin_with_what_was_committed() -> None:
    committed: dict[int, str] = {}
    for event in demo_events():
        if event["type"] == "Partial":
            assert event["committed"].startswith(committed.get(event["utterance"], ""))
            committed[event["utterance"]] = event["committed"]
        if event["type"] == "Final":
            assert event["text"].startswith(committed.get(event["utterance"], ""))


def test_formatted_finals_begin_with_what_was_committed_of_them() -> None:
    committed: dict[int, str] = {}
    for event in demo_events():
        if event["type"] in ("Partial", "Final"):
            shown = event["formatted"]
            assert shown["committed"].startswith(committed.get(event["utterance"], ""))
            committed[event["utterance"]] = shown["committed"]
    assert all(text[0].isupper() for text in list(committed.values())[:1])
    assert any(text.endswith(".") for text in committed.values())


def test_json_has_the_same_words_with_their_times() -> None:
    done = run("transcribe", str(RECORDING), "--format", "json")
    found = json.loads(done.stdout)
    finals = [event for event in demo_events() if event["type"] == "Final"]
    assert found["file"] == str(RECORDING)
    assert found["duration"] == pytest.approx(soundfile.info(RECORDING).duration, abs=0.01)
    assert [utterance["text"] for utterance in found["utterances"]] == [final["text"] for final in finals]
    for utterance in found["utterances"]:
        times = [time for word in utterance["words"] for time in (word["start"], word["end"])]
        assert times == sorted(times)
        assert 0 <= utterance["confidence"] <= 1


def test_subtitles_are_written_to_a_file(tmp_path: Path) -> None:
    done = run("transcribe", str(RECORDING), "--format", "vtt", "--output", str(tmp_path / "demo.vtt"))
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "demo.vtt").read_text().startswith("WEBVTT\n\n00:00:0")


def test_standard_input_takes_raw_samples_and_whole_files() -> None:
    finals = "".join(f"{event['formatted']['committed']}\n" for event in demo_events() if event["type"] == "Final")
    samples, rate = soundfile.read(RECORDING, dtype="int16")
    assert run("transcribe", "-", "--sample-rate", str(rate), stdin=samples.tobytes()).stdout == finals
    assert run("transcribe", "-", stdin=RECORDING.read_bytes()).stdout == finals


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("this is no audio")
    short = tmp_path / "short.wav"
    samples, rate = soundfile.read(RECORDING, dtype="int16")
    soundfile.write(short, samples[: 4 * rate], rate)
    done = run("transcribe", str(tmp_path / "bad.wav"), str(short), "--format", "json")
    assert done.returncode == 2
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(short)]
    assert "bad.wav" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_prints_what_was_heard_and_exits_with_130() -> None:
    process = subprocess.Popen(
        [*COMMAND, "transcribe", str(RECORDING), "--realtime"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert first.strip()
    assert rest.strip(), "the words since the first final were lost"
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("transcribe", "nowhere.wav", "--lm", "none"), "nowhere.wav is not there"),
        (("transcribe", "nowhere.wav", "--model", "nowhere/at/all"), "nowhere.wav is not there"),
        (("bench", "nowhere.wav", "--model", "nowhere/at/all"), "nowhere.wav is not there"),
        (("transcribe",), "see: streaming-asr transcribe --help"),
        (("transcribe", "a.wav", "--format", "doc"), "doc"),
        (("transcribe", "a.wav", "--no-such-option"), "--no-such-option"),
        (("transcribe", str(RECORDING), "--hotword", "Ada:much"), "much"),
        (("transcribe", str(RECORDING), "--output", "nowhere/a.txt"), "nowhere"),
        (("transcribe", str(RECORDING), "--model", "nowhere/at/all"), "nowhere/at/all"),
        (("transcribe", str(RECORDING), "--server", "localhost"), "ws://"),
        (
            ("transcribe", str(RECORDING), "-f", "text", "--output", str(RECORDING)),
            "is an input; it is not overwritten",
        ),
        (("transcribe", str(RECORDING), "--output", "film.doc"), ".doc says no format"),
        (("transcribe", str(RECORDING), "--channel", "left"), "--channel left is no channel"),
        (("transcribe", str(RECORDING), "--channel", "3"), "channel is 3; it must be from 0 to 0"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: Sequence[str], said: str, tmp_path: Path) -> None:
    assert said in refused(*arguments)


@pytest.mark.parametrize("arguments", [("transcribe", str(RECORDING), "--model"), ("models",)])
def test_a_model_that_is_nowhere_is_named(arguments: Sequence[str]) -> None:
    assert "nowhere/at/all" in refused(*arguments, "nowhere/at/all", apart=True)


def test_a_name_and_a_console_that_are_no_utf_8_lose_no_word(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    samples, rate = soundfile.read(RECORDING, dtype="int16", stop=4 * 16_000)
    soundfile.write(tmp_path / "talk.wav", samples, rate)
    os.rename(tmp_path / "talk.wav", path)
    done = run_apart("transcribe", path, "--format", "json", "--hotword", "東京", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0
    assert json.loads(done.stdout)["text"]
    assert json.loads(done.stdout)["file"].endswith("/caf\udce9.wav")
    assert "the hotword '\\u6771\\u4eac' is left out" in done.stderr
    assert "Traceback" not in done.stderr


def test_standard_output_that_is_closed_is_told_before_any_work() -> None:
    script = f"{sys.executable} -m streaming_asr.command_line transcribe {RECORDING} >&-"
    done = subprocess.run(script, shell=True, capture_output=True, env=ENVIRONMENT, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "streaming-asr: standard output is closed; name a file by --output\n"


def test_a_disk_without_room_is_one_line() -> None:
    script = f"{sys.executable} -m streaming_asr.command_line devices --help > /dev/full"
    done = subprocess.run(script, shell=True, capture_output=True, env=ENVIRONMENT, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "streaming-asr: [Errno 28] No space left on device\n")


def test_a_signal_while_a_pipe_is_silent_writes_what_was_heard() -> None:
    """A recorder that goes on for ever, and a service manager that ends the transcription."""
    samples, rate = soundfile.read(RECORDING, dtype="int16", stop=4 * 16_000)
    header = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    process = subprocess.Popen(
        [*COMMAND, "transcribe", "-", "--format", "srt"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdin is not None
    # More than the pipe holds: when all is written, most of it has been read.
    process.stdin.write(header + b"data\xff\xff\xff\xff" + samples.tobytes() + bytes(4 * rate))
    process.stdin.flush()
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert out.startswith(b"1\n00:00:0")
    assert err == b""


def test_the_demo_shows_partials_first_and_finals_after() -> None:
    done = run("demo")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].endswith(" ...")
    assert len([line for line in lines if not line.endswith(" ...")]) == 8 + 2
    assert "Streamwell" in lines[-1]
    assert "The voice said: Good morning" in done.stderr


def test_bench_tells_speed_latency_and_memory() -> None:
    done = run("bench", str(RECORDING), "--format", "json")
    report = json.loads(done.stdout)
    assert report["real_time_factor"] > 0
    assert report["committed_revisions"] == 0
    assert report["final"]["count"] == 8
    assert report["memory_mib_peak"] > report["memory_mib_before"] > 0


def test_models_tells_what_the_embedded_one_is() -> None:
    done = run("models", "english")
    assert done.returncode == 0
    assert "wavlm" in done.stdout
    assert "yes, live and from files" in done.stdout


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server in a process of its own, ready to recognize."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", str(port)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ENVIRONMENT
    )
    try:
        assert process.stderr is not None
        assert any(b'"ready"' in line for line in process.stderr), "the server did not start"
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_server_says_the_same_as_the_model_in_this_process() -> None:
    finals = "".join(f"{event['formatted']['committed']}\n" for event in demo_events() if event["type"] == "Final")
    with serving() as url:
        assert run("transcribe", str(RECORDING), "--server", url).stdout == finals
    assert "cannot be reached" in refused("transcribe", str(RECORDING), "--server", url, code=1)


def test_help_has_examples() -> None:
    for command in ("transcribe", "listen", "models", "bench"):
        done = run(command, "--help")
        assert done.returncode == 0
        assert f"streaming-asr {command}" in done.stdout


def test_the_program_starts_without_torch() -> None:
    code = (
        "import sys; from streaming_asr.command_line.application import run; code = run(['--help']); "
        "heavy = {'torch', 'transformers', 'soundfile', 'av', 'sounddevice', 'soxr'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    script = f"{sys.executable} -m streaming_asr.command_line transcribe {RECORDING} {RECORDING} | head -n 1"
    done = subprocess.run(script, shell=True, capture_output=True, env=ENVIRONMENT, text=True, timeout=120)
    assert done.stdout
    assert "Traceback" not in done.stderr
