"""A server process with three models and five languages, spoken to at once by four client packages."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from streaming_asr_server.access.authentication import hash_key

from streaming_asr import Final, Latency, Recognizer
from streaming_asr.audio.samples import Samples
from tests.clients.conftest import free_port, wait_until_ready
from tests.clients.environments import CURRENT, VOICE
from tests.clients.speech import KEY, Recordings, Server, run_json
from tests.conftest import TinyModel
from tests.server.models.conftest import LETTERS, write_many, write_single
from tests.server.speaking import events_of

pytestmark = pytest.mark.timeout(300)

LATENCY = {"chunk_ms": 320, "lookahead_ms": 160, "left_ms": 2_000}
SPOKEN = {"it": "it", "es": "es", "en": "eng", "fr": "fra", "de": "deu"}
"""The languages as clients name them, and as the checkpoints do."""


@pytest.fixture(scope="module")
def folders(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("models")
    many = write_many(tiny_model, root / "many")
    return {
        "it": write_single(tiny_model, root / "italian", "abcdefìò", seed=5),
        "es": write_single(tiny_model, root / "spanish", "abcdñóú", seed=6),
        **dict.fromkeys(LETTERS, many),
    }


@pytest.fixture(scope="module")
def many_models(folders: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`streaming-asr serve --config` with a table for each model, until the tests are done."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "keys.toml").write_text(f'[[keys]]\nname = "tests"\nsha256 = "{hash_key(KEY)}"\n')
    options = "".join(f"{name} = {value}\n" for name, value in LATENCY.items())
    (folder / "server.toml").write_text(
        f"{options}beam_width = 1\napi_key_file = {str(folder / 'keys.toml')!r}\n"
        f"[models.italian]\nmodel = {str(folders['it'])!r}\nlanguage = 'it'\n"
        f"[models.spanish]\nmodel = {str(folders['es'])!r}\nlanguage = 'es'\nload = 'first_use'\n"
        f"[models.many]\nmodel = {str(folders['eng'])!r}\nlanguages = ['eng', 'fra', 'deu']\n"
    )
    port, wyoming = free_port(), free_port()
    command = [sys.executable, "-m", "streaming_asr.command_line", "serve", "--config", str(folder / "server.toml")]
    command += ["--port", str(port), "--wyoming-port", str(wyoming)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            wait_until_ready(process, port)
            yield Server(f"127.0.0.1:{port}", vosk_port=0, wyoming_port=wyoming)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def alone(folders: Mapping[str, Path], audio: Samples, language: str) -> list[Final]:
    """What the library makes of the recording in one language."""
    with Recognizer.load(folders[SPOKEN[language]], language=SPOKEN[language]) as recognizer:
        stream = recognizer.stream(sample_rate=16_000, latency=Latency(**LATENCY), beam_width=1)
        events = [*stream.push(audio), *stream.finish()]
    return [event for event in events if isinstance(event, Final)]


def raw_text(finals: Sequence[Final]) -> list[str]:
    return [final.text for final in finals]


def readable(finals: Sequence[Final]) -> list[str]:
    return [final.readable.text for final in finals]


def test_every_package_has_the_words_of_its_language(
    many_models: Server, folders: Mapping[str, Path], recordings: Recordings
) -> None:
    audio = np.asarray(recordings.waves[16_000], np.float32) / np.float32(32_768)
    expected = {language: alone(folders, audio, language) for language in SPOKEN}
    assert len({" ".join(raw_text(finals)) for finals in expected.values()} - {""}) == len(SPOKEN)
    server, wave = many_models.address, recordings.wav(16_000)
    choices = [{"model": "whisper-1", "language": language} for language in SPOKEN]
    choices += [{"model": "many"}, {"model": "whisper-1", "language": "pt"}, {"model": "german"}]

    def native() -> list[list[str]]:
        async def together() -> list[list[str]]:
            address = f"ws://{server}"
            streams = (events_of(address, audio, language=language, api_key=KEY) for language in SPOKEN)
            answers = await asyncio.gather(*streams)
            return [raw_text([event for event in events if isinstance(event, Final)]) for events in answers]

        return asyncio.run(together())

    with ThreadPoolExecutor() as pool:
        ours = pool.submit(native)
        deepgram = {
            language: pool.submit(
                run_json, CURRENT, "deepgram_current.py", server, KEY, wave, json.dumps({"language": language})
            )
            for language in ("fr", "it")
        }
        openai = pool.submit(run_json, CURRENT, "openai_models.py", server, KEY, wave, json.dumps(choices))
        wyoming = {
            language: pool.submit(
                run_json,
                VOICE,
                "wyoming_client.py",
                f"tcp://127.0.0.1:{many_models.wyoming_port}",
                wave,
                json.dumps({"language": language}),
            )
            for language in ("de", "es")
        }
    assert ours.result() == [raw_text(expected[language]) for language in SPOKEN]
    for language, answer in deepgram.items():
        results = [message for message in answer.result() if message.get("type") == "Results" and message["is_final"]]
        said = [result["channel"]["alternatives"][0]["transcript"] for result in results]
        assert [text for text in said if text] == raw_text(expected[language])
    models, *answers = openai.result()
    assert models == {"models": ["italian", "spanish", "many"]}
    assert [answer.get("segments") for answer in answers[:6]] == [
        *(readable(expected[language]) for language in SPOKEN),
        readable(expected["en"]),
    ]
    assert [answer["status"] for answer in answers[6:]] == [400, 400]
    assert "it must be one of italian, spanish, many" in answers[7]["message"]
    for language, answer in wyoming.items():
        (transcript,) = [message for message in answer.result() if message["kind"] == "transcript"]
        assert (transcript["text"], transcript["language"]) == (" ".join(readable(expected[language])), language)
