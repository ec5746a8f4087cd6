"""`POST /v1/audio/transcriptions`: recorded files."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings

from tests.audio.recordings import coded
from tests.server.speaking import until

pytestmark = pytest.mark.anyio

BLOCKS = [0, 17, 18, 0, 0, 0, 19]


def recording(file_format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone_words(BLOCKS), 16_000, format=file_format)
    return file.getvalue()


async def post(fields: dict[str, Any], settings: Settings | None = None, file: bytes | None = None) -> httpx.Response:
    async with local_server(ScriptedRecognition, settings) as server, httpx.AsyncClient(timeout=30) as http:
        return await http.post(
            f"{server.http}/v1/audio/transcriptions",
            files={"file": ("talk.wav", recording() if file is None else file)},
            data={"model": "whisper-1", **fields},
        )


async def test_a_file_becomes_text() -> None:
    answer = await post({})
    assert answer.json() == {"text": "w17 w18 w19", "usage": {"type": "duration", "seconds": 1}}


@pytest.mark.parametrize(
    ("response_format", "beginning"),
    [("text", "w17 w18 w19\n"), ("srt", "1\n00:00:00,100 --> "), ("vtt", "WEBVTT\n\n00:00:00.100 --> ")],
)
async def test_other_formats_are_plain_text(response_format: str, beginning: str) -> None:
    answer = await post({"response_format": response_format})
    assert answer.text.startswith(beginning)


async def test_verbose_json_has_utterances_and_if_asked_for_words() -> None:
    answer = (await post({"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]})).json()
    assert (answer["text"], answer["duration"], answer["task"]) == ("w17 w18 w19", 0.7, "transcribe")
    assert [(segment["text"], segment["start"]) for segment in answer["segments"]] == [("w17 w18", 0.1), ("w19", 0.6)]
    assert answer["words"][0] == {"word": "w17", "start": 0.1, "end": 0.2}
    assert "words" not in (await post({"response_format": "verbose_json"})).json()


async def test_flac_is_as_good_as_wav() -> None:
    assert (await post({}, file=recording("FLAC"))).json()["text"] == "w17 w18 w19"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"file": b"this is no audio at all"}, "cannot be read as audio"),
        ({"file": b""}, "cannot be read as audio"),
        ({"response_format": "xml"}, "response_format is 'xml'"),
        ({"language": "fr"}, "language is 'fr'"),
        ({"stream": "true", "response_format": "srt"}, "with stream it must be json or text"),
        ({"channel": "left"}, "channel is 'left'; it must be a number from 0, or 'each'"),
        ({"channel": "1"}, "channel is 1; it must be from 0 to 0"),
        ({"channel": "each", "response_format": "srt"}, "response_format must be json or verbose_json then"),
        ({"track": "3"}, "no audio track 3"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities[] is 'letter'; it must be of word, segment"),
    ],
)
async def test_what_cannot_be_done_is_said(fields: dict[str, Any], reason: str) -> None:
    answer = await post(fields, file=fields.pop("file", None))
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert reason in error["message"]


async def test_no_error_names_a_path_of_the_server() -> None:
    message = (await post({}, file=b"this is no audio at all")).json()["error"]["message"]
    assert message.startswith("talk.wav")
    assert "/tmp" not in message


@pytest.mark.parametrize("name", ["a\0b.wav", "a.w\0v", "../../etc/passwd", "", "x" * 5_000 + ".wav", "a.\u00e4\u00f6"])
async def test_any_name_of_a_file_will_do(name: str) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + b'"\r\n\r\n'
        + recording()
        + b"\r\n--x--\r\n"
    )
    async with local_server(ScriptedRecognition) as server, httpx.AsyncClient() as http:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = await http.post(f"{server.http}/v1/audio/transcriptions", content=body, headers=headers)
    assert answer.status_code in (200, 400), "a form need not take every name, but says so"
    assert answer.json()


async def test_the_language_is_that_of_the_model_where_none_was_asked_for() -> None:
    answer = await post({"response_format": "verbose_json"})
    assert answer.json()["language"] == "en"


async def test_a_stream_of_text_has_deltas_and_ends_with_everything() -> None:
    answer = await post({"stream": "true"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert "".join(event["delta"] for event in events[:-1]) == "w17 w18 w19"
    assert len(events) > 2
    done = {"type": "transcript.text.done", "text": "w17 w18 w19", "usage": {"type": "duration", "seconds": 1}}
    assert events[-1] == done


async def test_a_stream_of_text_that_cannot_begin_is_an_error_of_http() -> None:
    assert (await post({"stream": "true"}, file=b"this is no audio at all")).status_code == 400


async def test_a_stream_of_text_holds_its_place_until_it_ends() -> None:
    recognition = ScriptedRecognition(delay=0.05)
    async with local_server(lambda: recognition) as server, httpx.AsyncClient(timeout=30) as http:
        fields = {"files": {"file": ("talk.wav", recording())}, "data": {"stream": "true"}}
        async with http.stream("POST", f"{server.http}/v1/audio/transcriptions", **fields) as answer:  # type: ignore[arg-type]
            assert server.service.admission.streams == 1
            await answer.aread()
        await until(lambda: server.service.admission.streams == 0)
    assert all(stream.closed for stream in recognition.streams)


async def test_a_key_may_come_as_x_api_key() -> None:
    keys = ApiKeys({hash_key("open-sesame"): Principal(name="somebody")})
    async with local_server(ScriptedRecognition, keys=keys) as server, httpx.AsyncClient() as http:
        statuses = [
            (await http.get(f"{server.http}/v1/models", headers=headers)).status_code
            for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": "open-sesame"}, {"api-key": "open-sesame"})
        ]
    assert statuses == [401, 401, 200, 200]


async def test_the_model_is_listed() -> None:
    async with local_server(ScriptedRecognition) as server, httpx.AsyncClient() as http:
        listed = (await http.get(f"{server.http}/v1/models")).json()
        (model,) = listed["data"]
        assert (model["id"], model["object"], listed["object"]) == ("scripted", "model", "list")
        assert (await http.get(f"{server.http}/v1/models/scripted")).json() == model
        missing = await http.get(f"{server.http}/v1/models/whisper-1")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_request_without_a_file_is_refused() -> None:
    async with local_server(ScriptedRecognition) as server, httpx.AsyncClient() as http:
        answer = await http.post(f"{server.http}/v1/audio/transcriptions", data={"model": "x"})
    assert answer.status_code == 400


async def test_an_upload_over_the_limit_is_refused_whatever_its_header_says(tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            yield bytes(10_000)
        yield b"\r\n--x--\r\n"

    settings = Settings(upload_bytes=100_000)
    async with local_server(ScriptedRecognition, settings) as server, httpx.AsyncClient() as http:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = await http.post(f"{server.http}/v1/audio/transcriptions", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_big")


async def test_a_recording_over_the_length_of_a_stream_is_refused() -> None:
    answer = await post({}, Settings(stream_seconds=0.5))
    assert answer.status_code == 400


def two_channels() -> bytes:
    file = io.BytesIO()
    left, right = tone_words([0, 17, 0, 0, 0, 0, 0]), tone_words([0, 0, 0, 0, 19, 19, 0])
    soundfile.write(file, np.column_stack([left, right]), 16_000, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(("channel", "text"), [("0", "w17"), ("1", "w19 w19")])
async def test_one_channel_can_be_chosen(channel: str, text: str) -> None:
    assert (await post({"channel": channel}, file=two_channels())).json()["text"] == text


async def test_each_channel_is_heard_by_itself() -> None:
    answer = (await post({"channel": "each"}, file=two_channels())).json()
    assert answer["channels"] == [{"channel": 0, "text": "w17"}, {"channel": 1, "text": "w19 w19"}]
    assert answer["text"] == "w17 w19 w19"
    verbose = (await post({"channel": "each", "response_format": "verbose_json"}, file=two_channels())).json()
    assert [(segment["channel"], segment["text"]) for segment in verbose["segments"]] == [(0, "w17"), (1, "w19 w19")]


async def test_a_track_of_a_film_can_be_chosen() -> None:
    pytest.importorskip("av")
    tracks = [("deu", True), ("eng", False)]
    film = coded([tone_words([0, 170, 0, 0]), tone_words([0] * 9)], "matroska", "pcm_s16le", rate=16_000, tracks=tracks)
    texts = [(await post({"track": track}, file=film)).json()["text"] for track in ("", "0", "eng")]
    assert texts == ["w170", "w170", ""]
    said = (await post({"track": "fra"}, file=film)).json()["error"]["message"]
    assert "no audio track fra; its audio tracks are 0 (deu), 1 (eng)" in said


@pytest.mark.parametrize("response_format", ["json", "verbose_json", "text", "srt"])
async def test_what_of_a_recording_is_missing_is_told(response_format: str) -> None:
    answer = await post({"response_format": response_format}, file=recording("FLAC")[:-20])
    said = answer.headers["x-notes"] if response_format in ("text", "srt") else answer.json()["notes"][0]
    assert "cannot be decoded" in said or "its header promises 0.7 s" in said


async def test_a_stream_of_text_tells_all_that_came_before_what_cannot_be_read() -> None:
    content = io.BytesIO()
    samples = np.concatenate([tone_words(BLOCKS), [np.nan]])
    soundfile.write(content, samples, 16_000, format="WAV", subtype="FLOAT")
    answer = await post({"stream": "true"}, file=content.getvalue())
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert "".join(event.get("delta", "") for event in events) == "w17 w18 w19"
    assert "not a finite number" in events[-1]["error"]["message"]
