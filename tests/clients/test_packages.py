"""The client packages of other services, unmodified, against a real server: the same words as the native protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streaming_asr.events import Final as FinalEvent
from streaming_asr.protocol import EndpointRules
from tests.clients.environments import CURRENT, FORMER, Environment
from tests.clients.speech import (
    KEY,
    SECONDS,
    Recordings,
    Server,
    bare,
    pauses_behind,
    readable,
    run_json,
    run_program,
    texts,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "clients"
EVERYTHING = json.dumps({"interim_results": "true", "vad_events": "true", "utterance_end_ms": "1000"})

pytestmark = pytest.mark.timeout(180)


def spoken(values: Sequence[str]) -> list[str]:
    return [value for value in values if value]


def transcript(message: dict[str, Any]) -> str:
    return str(message["channel"]["alternatives"][0]["transcript"])


@pytest.mark.parametrize(("environment", "program"), [(CURRENT, "deepgram_current.py"), (FORMER, "deepgram_former.py")])
def test_the_deepgram_sdk(environment: Environment, program: str, server: Server, recordings: Recordings) -> None:
    messages = run_json(environment, program, server.address, KEY, recordings.wav(16_000), EVERYTHING)
    results = [message for message in messages if message.get("type") == "Results"]
    finals = [result for result in results if result["is_final"]]
    assert spoken([transcript(result) for result in finals]) == texts(server.native(recordings, 16_000))
    assert not results[0]["is_final"], "partials come before finals"
    assert finals[-1]["from_finalize"], "the finalize is answered"
    kinds = {message.get("type") for message in messages}
    assert {"SpeechStarted", "Results", "UtteranceEnd"} <= kinds
    assert ("ConfigureSuccess" in kinds) == (environment is CURRENT), "the former package does not know of it"
    assert not any(message.get("kind") in ("error", "unhandled", "refused") for message in messages)
    summaries = [message["duration"] for message in messages if message.get("type") == "Metadata"]
    hung_up = environment is FORMER and not summaries
    assert hung_up or summaries == [SECONDS], "the former package waits half a second for it, whatever the server does"
    assert messages[-1]["kind"] in ("closed", "finished")


@pytest.mark.parametrize(
    ("environment", "program", "dialect"), [(CURRENT, "openai_current.py", "ga"), (FORMER, "openai_former.py", "beta")]
)
def test_the_openai_sdk_with_server_vad(
    environment: Environment, program: str, dialect: str, server: Server, recordings: Recordings
) -> None:
    events = run_json(environment, program, server.address, KEY, recordings.raw(24_000), "vad")
    prefix = "" if dialect == "ga" else "transcription_"
    assert [event["type"] for event in events[:2]] == [f"{prefix}session.created", f"{prefix}session.updated"]
    said = spoken([event["transcript"] for event in events if event["type"].endswith("transcription.completed")])
    assert said == readable(server.native(recordings, 24_000, silence_ms=500))
    assert "error" not in {event["type"] for event in events}
    check_items(events)


def test_the_openai_sdk_with_a_manual_commit(server: Server, recordings: Recordings) -> None:
    events = run_json(CURRENT, "openai_current.py", server.address, KEY, recordings.raw(24_000), "manual")
    (completed,) = [event for event in events if event["type"].endswith("transcription.completed")]
    assert completed["transcript"] == " ".join(readable(server.native(recordings, 24_000)))
    assert completed["usage"] == {"type": "duration", "seconds": SECONDS}
    assert "error" not in {event["type"] for event in events}
    check_items(events)


def check_items(events: Sequence[dict[str, Any]]) -> None:
    """Deltas come before the transcript that they add up to."""
    grown: dict[str, str] = {}
    for event in events:
        if event["type"].endswith("transcription.delta"):
            grown[event["item_id"]] = grown.get(event["item_id"], "") + event["delta"]
        elif event["type"].endswith("transcription.completed"):
            assert event["transcript"] == grown.get(event["item_id"], "")
    assert grown


PUNCTUATED = json.dumps({"interim_results": "true", "smart_format": "true"})


def test_the_deepgram_sdk_is_given_formatted_text_if_it_asks(server: Server, recordings: Recordings) -> None:
    messages = run_json(CURRENT, "deepgram_current.py", server.address, KEY, recordings.wav(16_000), PUNCTUATED)
    finals = [message for message in messages if message.get("type") == "Results" and message["is_final"]]
    assert spoken([transcript(result) for result in finals]) == readable(server.native(recordings, 16_000))


@pytest.mark.parametrize("environment", [CURRENT, FORMER])
def test_the_deepgram_sdk_with_a_recording(environment: Environment, server: Server, recordings: Recordings) -> None:
    program = "deepgram_prerecorded.py" if environment is CURRENT else "deepgram_prerecorded_former.py"
    (answer,) = run_json(environment, program, server.address, KEY, recordings.wav(16_000))
    said = readable(server.native(recordings, 16_000))
    best = answer["results"]["channels"][0]["alternatives"][0]
    assert best["transcript"] == " ".join(said)
    assert [utterance["transcript"] for utterance in answer["results"]["utterances"]] == said
    assert answer["metadata"]["duration"] == SECONDS
    assert best["paragraphs"]["paragraphs"]


@pytest.mark.parametrize("environment", [CURRENT, FORMER])
def test_the_openai_sdk_with_a_recording(environment: Environment, server: Server, recordings: Recordings) -> None:
    models, plain, verbose, *events = run_json(
        environment, "openai_recording.py", server.address, KEY, recordings.wav(16_000)
    )
    said = " ".join(readable(server.native(recordings, 16_000)))
    assert models == {"models": [models["retrieved"]], "retrieved": models["retrieved"]}
    assert (plain["text"], verbose["text"], verbose["language"]) == (said, said, "en")
    assert [word["start"] for word in verbose["words"]] == sorted(word["start"] for word in verbose["words"])
    assert "".join(event["delta"] for event in events if event["type"] == "transcript.text.delta") == said
    assert (events[-1]["type"], events[-1]["text"]) == ("transcript.text.done", said)


@pytest.mark.parametrize(("kind", "rate"), [("deepgram", 16_000), ("openai", 24_000)])
def test_pipecats_services_with_a_flush_at_each_pause(
    kind: str, rate: int, server: Server, recordings: Recordings
) -> None:
    pauses = pauses_behind(server.native(recordings, rate), rate)
    arguments = (server.address, KEY, recordings.wav(rate), kind, json.dumps(pauses))
    messages = run_json(CURRENT, "pipecat_services.py", *arguments)
    finals = [message for message in messages if message["kind"] == "final"]
    said = bare([message["text"] for message in finals])
    assert said == bare((texts if kind == "deepgram" else readable)(server.native(recordings, rate, pauses=pauses)))
    assert len(finals) == len(pauses)
    if kind == "deepgram":
        assert all(message["finalized"] and message["from_finalize"] for message in finals)
    kinds = [message["kind"] for message in messages]
    assert kinds.index("interim") < kinds.index("final")
    assert kinds[-1] == "finished"
    assert "error" not in kinds


def test_livekits_plugin(server: Server, recordings: Recordings) -> None:
    messages = run_json(CURRENT, "livekit_service.py", server.address, KEY, recordings.wav(16_000))
    said = [message["text"] for message in messages if message["kind"] == "final_transcript"]
    wanted = texts(server.native(recordings, 16_000, silence_ms=300))
    assert bare(said) == wanted, "its 25 ms are raised to the least we take"
    turns = [message["kind"] for message in messages if message["kind"].endswith("of_speech")]
    assert turns == ["start_of_speech", "end_of_speech"] * len(said)
    kinds = [message["kind"] for message in messages]
    assert kinds.index("interim_transcript") < kinds.index("final_transcript")
    assert kinds[-1] == "finished"
    assert "error" not in kinds


FLUX: EndpointRules = {"turn": "adaptive", "shortest_silence_ms": 520.0, "longest_silence_ms": 5_000}
"""What Flux's own defaults are in terms of the native protocol."""


def turns(finals: Sequence[FinalEvent]) -> list[str]:
    return [final.readable.text for final in finals]


def test_the_deepgram_sdk_with_flux(server: Server, recordings: Recordings) -> None:
    options = json.dumps({"eager_eot_threshold": 0.5})
    messages = run_json(CURRENT, "deepgram_flux.py", server.address, KEY, recordings.wav(16_000), options)
    classes = {message.get("python") for message in messages if "type" in message}
    assert classes == {"ListenV2Connected", "ListenV2ConfigureSuccess", "ListenV2TurnInfo"}
    told = [message for message in messages if message.get("type") == "TurnInfo"]
    ends = [message["transcript"] for message in told if message["event"] == "EndOfTurn"]
    assert ends == turns(server.native(recordings, 16_000, endpoint=FLUX))
    kinds = [message["event"] for message in told]
    assert kinds[0] == "StartOfTurn"
    assert {"Update", "EagerEndOfTurn", "EndOfTurn"} <= set(kinds)
    assert messages[-1] == {"kind": "closed"}


def test_pipecats_flux_service(server: Server, recordings: Recordings) -> None:
    messages = run_json(CURRENT, "pipecat_services.py", server.address, KEY, recordings.wav(16_000), "flux", "[]")
    finals = [message["text"] for message in messages if message["kind"] == "final"]
    native = turns(server.native(recordings, 16_000, endpoint=FLUX))
    assert finals
    assert native[: len(finals)] == finals, "it hangs up without waiting for what is left"
    assert "error" not in [message["kind"] for message in messages]


def test_livekits_plugin_with_flux(server: Server, recordings: Recordings) -> None:
    messages = run_json(CURRENT, "livekit_service.py", server.address, KEY, recordings.wav(16_000), "flux")
    said = [message["text"] for message in messages if message["kind"] == "final_transcript"]
    assert said == turns(server.native(recordings, 16_000, endpoint=FLUX))
    kinds = [message["kind"] for message in messages]
    assert "preflight_transcript" in kinds
    assert kinds[-1] == "finished"
    assert "error" not in kinds


def test_the_example_for_deepgram(server: Server, recordings: Recordings) -> None:
    lines = run_program(CURRENT, EXAMPLES / "deepgram_sdk.py", recordings.wav(16_000), server.address, KEY)
    assert spoken(lines) == texts(server.native(recordings, 16_000))


def test_the_example_for_openai(server: Server, recordings: Recordings) -> None:
    lines = run_program(CURRENT, EXAMPLES / "openai_sdk.py", recordings.wav(24_000), server.address, KEY)
    assert lines == [" ".join(readable(server.native(recordings, 24_000)))]


@pytest.mark.parametrize(("agent", "silence_ms"), [("pipecat_agent.py", 700), ("livekit_agent.py", 300)])
def test_the_examples_of_agents_hear_what_the_caller_says(
    agent: str, silence_ms: int, server: Server, recordings: Recordings
) -> None:
    lines = run_program(CURRENT, EXAMPLES / agent, recordings.wav(16_000), server.address, KEY)
    said = [line.removeprefix("caller: ") for line in lines if line.startswith("caller: ")]
    assert bare(said) == texts(server.native(recordings, 16_000, silence_ms=silence_ms))
