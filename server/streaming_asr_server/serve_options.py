"""The options of `serve`, by what they are about; what is not given is left to the settings, where defaults stand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

MODELS: Final = "Models"
LISTENING: Final = "Where it listens"
LIMITS: Final = "Limits"
SCALE: Final = "Workers and clusters"
REPORTS: Final = "Logs and calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which models are served, and how they compute."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder or a hub name; by default the embedded English. Several as NAME=FOLDER_OR_HUB; repeatable.",
            rich_help_panel=MODELS,
        ),
    ] = None
    language: Annotated[
        str | None, typer.Option(help="What the model recognizes; an adapter for MMS.", rich_help_panel=MODELS)
    ] = None
    languages: Annotated[
        list[str] | None,
        typer.Option(
            help="What streams may ask for of many languages (MMS), or all; repeatable.", rich_help_panel=MODELS
        ),
    ] = None
    maximum_languages: Annotated[
        int | None,
        typer.Option(
            help="The most languages that a model holds at once, beside the first (32).", rich_help_panel=MODELS
        ),
    ] = None
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of the model on the hub.", rich_help_panel=MODELS)
    ] = None
    device: Annotated[str | None, typer.Option(help="cpu or cuda.", rich_help_panel=MODELS)] = None
    precision: Annotated[str | None, typer.Option(help="float32, int8 or bfloat16.", rich_help_panel=MODELS)] = None
    language_model: Annotated[
        str | None, typer.Option(help="A folder, an ARPA, .npz or KenLM file; auto.", rich_help_panel=MODELS)
    ] = None
    beam_width: Annotated[
        int | None, typer.Option(help="Beams of the search (50); 1 is greedy.", rich_help_panel=MODELS)
    ] = None
    detector: Annotated[
        str | None,
        typer.Option(help="What tells speech from noise: webrtc, or silero, an extra.", rich_help_panel=MODELS),
    ] = None
    chunk_ms: Annotated[
        float | None, typer.Option(help="New audio in each step, in milliseconds.", rich_help_panel=MODELS)
    ] = None
    lookahead_ms: Annotated[
        float | None, typer.Option(help="Audio behind it that is looked at.", rich_help_panel=MODELS)
    ] = None
    left_ms: Annotated[float | None, typer.Option(help="Past audio that attention sees.", rich_help_panel=MODELS)] = (
        None
    )
    load: Annotated[
        str | None,
        typer.Option(
            help="When models are loaded: start, or first_use, when a stream asks for one.", rich_help_panel=MODELS
        ),
    ] = None
    unload_seconds: Annotated[
        float | None,
        typer.Option(help="Let a model go that had no stream for so long; by default never.", rich_help_panel=MODELS),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of the model; by default all cores, 1 for small models.", rich_help_panel=MODELS),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningOptions:
    """The address, the ports of other protocols, and who may connect."""

    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).", rich_help_panel=LISTENING)] = (
        None
    )
    port: Annotated[int | None, typer.Option(help="Port to listen on (8765).", rich_help_panel=LISTENING)] = None
    vosk_port: Annotated[
        int | None, typer.Option(help="A port for clients of Vosk's server (usually 2700).", rich_help_panel=LISTENING)
    ] = None
    vosk_sample_rate: Annotated[
        int | None, typer.Option(help="Rate where a Vosk client says none (8000).", rich_help_panel=LISTENING)
    ] = None
    wyoming_port: Annotated[
        int | None, typer.Option(help="A port for Home Assistant (usually 10300); no keys.", rich_help_panel=LISTENING)
    ] = None
    wyoming_stdio: Annotated[
        bool | None,
        typer.Option(
            help="Speak Wyoming over standard input and output; its end ends the server.", rich_help_panel=LISTENING
        ),
    ] = None
    wyoming_zeroconf: Annotated[
        str | None,
        typer.Option(help="Announce the Wyoming port on the local network by this name.", rich_help_panel=LISTENING),
    ] = None
    api_key_file: Annotated[
        Path | None, typer.Option(help="TOML with hashed keys; see create-key.", rich_help_panel=LISTENING)
    ] = None
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.", rich_help_panel=LISTENING)] = None
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", rich_help_panel=LISTENING)] = None
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Pages of this origin may connect too; * for all; repeatable.", rich_help_panel=LISTENING),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """How much, how long, how large."""

    max_streams: Annotated[
        int | None,
        typer.Option(help="Streams at once, of each worker (32); more are refused with 503.", rich_help_panel=LIMITS),
    ] = None
    max_viewers: Annotated[
        int | None,
        typer.Option(help="Readers of views at once, in all of them, at each worker (500).", rich_help_panel=LIMITS),
    ] = None
    resume_seconds: Annotated[
        float | None, typer.Option(help="How long a session waits for its client (30).", rich_help_panel=LIMITS)
    ] = None
    start_seconds: Annotated[
        float | None, typer.Option(help="How long a connection may take to start (10).", rich_help_panel=LIMITS)
    ] = None
    idle_seconds: Annotated[
        float | None, typer.Option(help="Longest silence of a client without keepalive (60).", rich_help_panel=LIMITS)
    ] = None
    stream_seconds: Annotated[
        float | None, typer.Option(help="Longest stream, in seconds of audio (14400).", rich_help_panel=LIMITS)
    ] = None
    stall_seconds: Annotated[
        float | None, typer.Option(help="Longest wait for the recognizer's answer (20).", rich_help_panel=LIMITS)
    ] = None
    write_seconds: Annotated[
        float | None, typer.Option(help="How long a client may not read (20).", rich_help_panel=LIMITS)
    ] = None
    ping_seconds: Annotated[
        float | None, typer.Option(help="Websocket pings: interval and patience (20).", rich_help_panel=LIMITS)
    ] = None
    token_seconds: Annotated[
        float | None, typer.Option(help="Life of a browser token (60).", rich_help_panel=LIMITS)
    ] = None
    grace_seconds: Annotated[
        float | None, typer.Option(help="How long open streams may go on after SIGTERM (30).", rich_help_panel=LIMITS)
    ] = None
    inbox_seconds: Annotated[
        float | None, typer.Option(help="Audio that may wait before a client is held back (5).", rich_help_panel=LIMITS)
    ] = None
    message_bytes: Annotated[
        int | None, typer.Option(help="Longest websocket message (1 MiB).", rich_help_panel=LIMITS)
    ] = None
    upload_bytes: Annotated[
        int | None, typer.Option(help="Largest file for /v1/audio/transcriptions (512 MiB).", rich_help_panel=LIMITS)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOptions:
    """Several processes, or several machines."""

    workers: Annotated[
        int | None,
        typer.Option(help="Processes that serve the same ports, each with the model (1).", rich_help_panel=SCALE),
    ] = None
    ledger: Annotated[
        str | None,
        typer.Option(
            help="Where workers count streams, minutes and tokens: a file, or redis://HOST.", rich_help_panel=SCALE
        ),
    ] = None
    cluster: Annotated[
        bool | None, typer.Option(help="Run in Ray Serve, on as many machines as it has.", rich_help_panel=SCALE)
    ] = None
    replicas: Annotated[
        int | None, typer.Option(help="Copies of the server in a cluster (1).", rich_help_panel=SCALE)
    ] = None
    max_replicas: Annotated[
        int | None,
        typer.Option(help="The most copies, added as streams come; as many as replicas.", rich_help_panel=SCALE),
    ] = None
    replica_cpus: Annotated[float | None, typer.Option(help="Cores of each copy (1).", rich_help_panel=SCALE)] = None
    replica_gpus: Annotated[
        float | None, typer.Option(help="GPUs of each copy, or a part of one (0).", rich_help_panel=SCALE)
    ] = None
    ahead_bytes: Annotated[
        int | None,
        typer.Option(help="Most bytes of a stream that may wait in a cluster (32 MiB).", rich_help_panel=SCALE),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What is written down, and what is told of calls."""

    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", rich_help_panel=REPORTS)] = (
        None
    )
    log_text: Annotated[
        bool | None, typer.Option(help="Log what was said; off unless asked for.", rich_help_panel=REPORTS)
    ] = None
    twilio_auth_token: Annotated[
        str | None,
        typer.Option(
            help="Take only media streams with Twilio's signature; better in the environment.", rich_help_panel=REPORTS
        ),
    ] = None
    twilio_url: Annotated[
        str | None,
        typer.Option(
            help="The address that Twilio was given, if it is not wss://HOST/v1/twilio.", rich_help_panel=REPORTS
        ),
    ] = None
    webhook_url: Annotated[
        str | None, typer.Option(help="What is said in Twilio's calls is posted there.", rich_help_panel=REPORTS)
    ] = None
    webhook_secret: Annotated[
        str | None,
        typer.Option(help="Key of the webhook's signature; better in the environment.", rich_help_panel=REPORTS),
    ] = None
