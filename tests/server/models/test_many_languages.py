"""One server, three models made by transformers, five languages, clients of five protocols at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from streaming_asr_server.loading import model_sources
from streaming_asr_server.local import local_server
from streaming_asr_server.settings import Settings, read_settings

from streaming_asr import Final, Latency, Recognizer
from streaming_asr.audio.samples import Samples
from tests.checkpoints.hub_stand_in import HubStandIn
from tests.server.models.conftest import LETTERS, MANY, Folders
from tests.server.models.speaking import by_deepgram, by_openai, by_python, by_vosk, by_wyoming
from tests.server.speaking import events_of, raw
from tests.server.test_chaos import free_port

pytestmark = pytest.mark.anyio

LATENCY = "chunk_ms = 320\nlookahead_ms = 160\nleft_ms = 2000\n"


def configured(folder: Path, folders: Folders, *, many: str = MANY, more: str = "", **given: object) -> Settings:
    """The settings of a file with three models."""
    file = folder / "server.toml"
    file.write_text(
        f'{LATENCY}beam_width = 1\n[models.italian]\nmodel = "{folders.italian}"\nlanguage = "it"\n'
        f'[models.spanish]\nmodel = "{folders.spanish}"\nlanguage = "es"\nload = "first_use"\n'
        f'[models.many]\nmodel = "{many}"\nlanguages = ["eng", "fra", "deu"]\n{more}'
    )
    return read_settings(given, environment={}, file=file)


@pytest.fixture(scope="module")
def alone(folders: Folders, speech: Samples) -> Mapping[str, list[Final]]:
    """What each language says alone, by the library, from the folders."""
    options = {"latency": Latency(chunk_ms=320, lookahead_ms=160, left_ms=2_000), "beam_width": 1}
    said = {}
    for code, folder in {"it": folders.italian, "es": folders.spanish, **dict.fromkeys(LETTERS, folders.many)}.items():
        with Recognizer.load(folder, language=code) as recognizer:
            stream = recognizer.stream(sample_rate=16_000, **options)  # type: ignore[arg-type]
            events = [*stream.push(speech), *stream.finish()]
            said[code] = [event for event in events if isinstance(event, Final)]
    return said


def raw_words(finals: Sequence[Final]) -> list[str]:
    return [final.text for final in finals]


def readable(finals: Sequence[Final]) -> list[str]:
    return [final.readable.text for final in finals]


async def test_every_client_has_what_its_language_says_alone(
    hub: HubStandIn, folders: Folders, tmp_path: Path, speech: Samples, alone: Mapping[str, list[Final]]
) -> None:
    assert len({" ".join(raw_words(finals)) for finals in alone.values()} - {""}) == 5
    port = free_port()
    settings = configured(tmp_path, folders, wyoming_port=port)
    openai_spoken = ("en", "fr", "it")
    spoken = {"it": "it", "es": "es", "en-GB": "eng", "fr": "fra", "deu": "deu"}
    async with local_server(model_sources(settings), settings) as server:
        assert {"adapter.fra.safetensors", "adapter.deu.safetensors"} <= hub.downloads
        # Twice a dozen at once, so that a slow machine answers before Deepgram's clock runs out.
        python, vosk, wyoming, openai_text = await asyncio.gather(
            asyncio.gather(*(by_python(server, speech, language=code) for code in spoken)),
            asyncio.gather(*(by_vosk(server, speech, path) for path in ("", "/spanish", "/many"))),
            asyncio.gather(*(by_wyoming(port, speech, language=code) for code in ("it", "fr", "de"))),
            by_openai(server, speech, model="spanish"),
        )
        deepgram, openai, named = await asyncio.gather(
            asyncio.gather(*(by_deepgram(server, speech, model="nova-3", language=code) for code in spoken)),
            asyncio.gather(*(by_openai(server, speech, model="whisper-1", language=code) for code in openai_spoken)),
            asyncio.gather(
                by_deepgram(server, speech, model="many", language="fr"),
                by_python(server, speech, model="many"),
                by_openai(server, speech, model="italian"),
            ),
        )
        models = (await asyncio.to_thread(httpx.get, f"{server.http}/v1/models")).json()["data"]
    assert python == [raw_words(alone[code]) for code in spoken.values()]
    assert deepgram == [raw_words(alone[code]) for code in spoken.values()]
    assert vosk == [raw_words(alone[code]) for code in ("it", "es", "eng")]
    assert wyoming == [" ".join(readable(alone[code])) for code in ("it", "fra", "deu")]
    assert [openai_text, *openai] == [readable(alone[code]) for code in ("es", "eng", "fra", "it")]
    assert list(named) == [raw_words(alone["fra"]), raw_words(alone["eng"]), readable(alone["it"])]
    assert [model["id"] for model in models] == ["italian", "spanish", "many"]


async def test_a_broken_adapter_is_one_clear_error_and_no_harm_to_the_others(
    folders: Folders,
    tmp_path: Path,
    speech: Samples,
    alone: Mapping[str, list[Final]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for file in folders.many.iterdir():
        (many / file.name).write_bytes(file.read_bytes())
    whole = (many / "adapter.fra.safetensors").read_bytes()
    (many / "adapter.fra.safetensors").write_bytes(whole[: len(whole) // 2])
    (many / "adapter.deu.safetensors").unlink()
    settings = configured(tmp_path, folders, many=str(many))
    expected = {code: raw_words(finals) for code, finals in alone.items()}
    async with local_server(model_sources(settings), settings) as server:
        told = [record.__dict__["reason"] for record in caplog.records if "language cannot" in record.message]
        assert len(told) == 2
        assert any("adapter.fra.safetensors" in reason for reason in told)
        assert any("adapter.deu.safetensors is missing" in reason for reason in told)
        for code in ("fr", "de"):
            async with raw(server.url) as client:
                await client.send({"type": "start", "language": code})
                refused = (await client.receive())["message"]
            assert refused == f"the language '{code}' cannot be loaded; the server's log says why"
        assert await by_python(server, speech, language="en") == expected["eng"]
        assert await by_python(server, speech, language="it") == expected["it"]
        (many / "adapter.fra.safetensors").write_bytes(whole)
        assert await by_python(server, speech, language="fr") == expected["fra"]


async def test_all_languages_of_a_checkpoint_are_there_and_few_are_held(
    folders: Folders, tmp_path: Path, speech: Samples, alone: Mapping[str, list[Final]]
) -> None:
    given = {"model": str(folders.many), "languages": ["all"], "maximum_languages": 1, "chunk_ms": 320}
    settings = read_settings({**given, "lookahead_ms": 160, "left_ms": 2_000, "beam_width": 1}, environment={})
    expected = {code: raw_words(finals) for code, finals in alone.items()}
    async with local_server(model_sources(settings), settings) as server:
        info = (await asyncio.to_thread(httpx.get, f"{server.http}/v1/info")).json()
        assert info["languages"] == ["de", "en", "fr"]
        for _ in range(2):
            together = await asyncio.gather(*(by_python(server, speech, language=code) for code in ("fr", "de", "en")))
            assert together == [expected[code] for code in ("fra", "deu", "eng")]


async def test_a_stream_that_leaves_its_language_open_says_what_the_found_one_says_alone(
    hub: HubStandIn, folders: Folders, tmp_path: Path, speech: Samples, alone: Mapping[str, list[Final]]
) -> None:
    spoken = {"en": alone["eng"], "fr": alone["fra"], "de": alone["deu"]}
    settings = configured(tmp_path, folders)
    async with local_server(model_sources(settings), settings) as server:
        events, deepgram = await asyncio.gather(
            events_of(server.url, speech, model="many", language="auto"),
            by_deepgram(server, speech, model="many", detect_language="true"),
        )
    (final,) = [event for event in events if isinstance(event, Final)]
    assert final.language is not None
    assert 1 / 3 < final.language.confidence <= 1
    assert [final.text] == deepgram == raw_words(spoken[final.language.code])
