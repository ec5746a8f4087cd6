"""`POST /v1/listen`: recorded files in Deepgram's shape."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.protocols.deepgram.messages import Request
from streaming_asr_server.protocols.deepgram.options import parse
from streaming_asr_server.protocols.deepgram.prerecorded import Said, answer
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings

from streaming_asr.events import Alternative, Final, Formatted, Word
from tests.server.speaking import pcm

pytestmark = pytest.mark.anyio

BLOCKS = [0, 17, 18, 0, 0, 0, 19]


def recording(*columns: list[int]) -> bytes:
    file = io.BytesIO()
    channels = np.stack([tone_words(column) for column in columns or (BLOCKS,)], axis=1)
    soundfile.write(file, channels, 16_000, format="WAV")
    return file.getvalue()


async def post(
    query: str, body: bytes, settings: Settings | None = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    async with local_server(ScriptedRecognition, settings) as server, httpx.AsyncClient(timeout=30) as http:
        return await http.post(f"{server.http}/v1/listen?{query}", content=body, headers=headers)


async def test_a_file_becomes_words_with_times() -> None:
    body = recording()
    said = (await post("model=nova-3", body, headers={"Content-Type": "audio/wav"})).json()
    (channel,) = said["results"]["channels"]
    best = channel["alternatives"][0]
    assert best["transcript"] == "w17 w18 w19"
    assert (best["words"][0]["word"], best["words"][0]["start"], best["words"][0]["end"]) == ("w17", 0.1, 0.2)
    metadata = said["metadata"]
    assert (metadata["duration"], metadata["channels"]) == (0.7, 1)
    assert metadata["sha256"] == hashlib.sha256(body).hexdigest()
    assert "utterances" not in said["results"]


async def test_utterances_are_told_if_they_were_asked_for() -> None:
    said = (await post("utterances=true", recording())).json()
    assert [(one["transcript"], one["start"]) for one in said["results"]["utterances"]] == [
        ("w17 w18", 0.1),
        ("w19", 0.6),
    ]


async def test_channels_are_recognized_apart() -> None:
    said = (await post("multichannel=true&utterances=true", recording([17, 18], [0, 19]))).json()
    channels = [channel["alternatives"][0]["transcript"] for channel in said["results"]["channels"]]
    assert (channels, said["metadata"]["channels"]) == (["w17 w18", "w19"], 2)
    assert [one["channel"] for one in said["results"]["utterances"]] == [0, 1]


async def test_raw_samples_are_taken_as_they_were_declared() -> None:
    said = (await post("encoding=linear16&sample_rate=16000", pcm(17, 18))).json()
    assert said["results"]["channels"][0]["alternatives"][0]["transcript"] == "w17 w18"


@pytest.mark.parametrize(
    ("query", "body", "headers", "reason"),
    [
        ("", b'{"url": "http://10.0.0.1/secret"}', {"Content-Type": "application/json"}, "fetches no addresses"),
        ("callback=http://10.0.0.1", recording(), {}, "calls nobody back"),
        ("", b"no audio", {}, "cannot be read as audio"),
        ("encoding=morse", recording(), {}, "encoding is 'morse'"),
        ("language=fr", recording(), {}, "language is 'fr'"),
    ],
)
async def test_what_cannot_be_done_is_said(query: str, body: bytes, headers: dict[str, str], reason: str) -> None:
    refused = await post(query, body, headers=headers)
    assert refused.status_code == 400
    assert reason in refused.json()["err_msg"]
    assert "/tmp" not in refused.text


async def test_an_upload_over_the_limit_is_refused() -> None:
    refused = await post("", recording(), Settings(upload_bytes=1_000))
    assert (refused.status_code, refused.json()["err_code"]) == (413, "TOO_BIG")


async def test_a_key_is_needed_where_the_server_has_keys() -> None:
    keys = ApiKeys({hash_key("open-sesame"): Principal(name="somebody")})
    async with local_server(ScriptedRecognition, keys=keys) as server, httpx.AsyncClient() as http:
        statuses = [
            (await http.post(f"{server.http}/v1/listen", content=recording(), headers=headers)).status_code
            for headers in ({}, {"Authorization": "Token open-sesame"})
        ]
    assert statuses == [401, 200]


REQUEST = Request("request", "2025-01-01T00:00:00.000Z", "english", "uuid")


def final(text: str, start: float) -> Final:
    """A final whose words take half a second each."""
    words = tuple(
        Word(word, start + index / 2, start + index / 2 + 0.5, 1.0) for index, word in enumerate(text.split())
    )
    raw = tuple(Word(word.text.strip(".?").lower(), word.start, word.end, 1.0) for word in words)
    said = " ".join(word.text for word in raw)
    best = Alternative(said, 0.0, raw)
    formatted = Formatted(text, "", words)
    return Final(0, said, raw, start, words[-1].end, 1.0, (best,), "silence", 0.0, formatted)


def told(query: str, *finals: Final) -> dict[str, Any]:
    listen = parse([(pair.split("=")[0], pair.split("=")[1]) for pair in query.split("&")])
    best: dict[str, Any] = answer(REQUEST, listen, Said([finals], 9.0, ""))["results"]["channels"][0]["alternatives"][0]
    return best


def test_words_are_bare_and_punctuated_words_are_not() -> None:
    best = told("punctuate=true", final("Good morning.", 0.0))
    assert best["transcript"] == "Good morning."
    assert [(word["word"], word["punctuated_word"]) for word in best["words"]] == [
        ("good", "Good"),
        ("morning", "morning."),
    ]
    assert "paragraphs" not in best


def test_paragraphs_are_sentences_that_long_pauses_part() -> None:
    said = told("smart_format=true", final("Good morning. How are you?", 0.0), final("Fine.", 6.0))["paragraphs"]
    assert said["transcript"] == "\nGood morning. How are you?\n\nFine."
    first, second = said["paragraphs"]
    assert [sentence["text"] for sentence in first["sentences"]] == ["Good morning.", "How are you?"]
    assert (first["num_words"], first["start"], first["end"]) == (5, 0.0, 2.5)
    assert second["sentences"] == [{"text": "Fine.", "start": 6.0, "end": 6.5}]


def test_nothing_said_is_an_empty_answer() -> None:
    best = told("paragraphs=true")
    assert (best["transcript"], best["words"], best["paragraphs"]) == ("", [], {"transcript": "", "paragraphs": []})


async def test_what_of_a_recording_is_missing_is_told() -> None:
    content = io.BytesIO()
    soundfile.write(content, tone_words(BLOCKS), 16_000, format="FLAC")
    said = (await post("", content.getvalue()[:-20])).json()
    assert said["metadata"]["notes"]
    assert "notes" not in (await post("", content.getvalue())).json()["metadata"]
