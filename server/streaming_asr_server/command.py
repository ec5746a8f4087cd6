"""`streaming-asr serve` and `streaming-asr create-key`."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from streaming_asr.errors import MissingExtraError
from streaming_asr_server.settings import Settings, read_settings, unknown_variables

logger = logging.getLogger(__name__)


def serve(
    config: Annotated[
        Path | None, typer.Option(envvar="STREAMING_ASR_CONFIG", help="A TOML file with any of these options.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8765).")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder or a hub name; by default the embedded English. Several as NAME=FOLDER_OR_HUB; repeatable."
        ),
    ] = None,
    language: Annotated[str | None, typer.Option(help="What the model recognizes; an adapter for MMS.")] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option(help="What streams may ask for of many languages (MMS), or all; repeatable."),
    ] = None,
    maximum_languages: Annotated[
        int | None, typer.Option(help="The most languages that a model holds at once, beside the first (32).")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the model on the hub.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, int8 or bfloat16.")] = None,
    language_model: Annotated[str | None, typer.Option(help="A folder, an ARPA, .npz or KenLM file; auto.")] = None,
    beam_width: Annotated[int | None, typer.Option(help="Beams of the search (50); 1 is greedy.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="What tells speech from noise: webrtc, or silero, an extra.")
    ] = None,
    chunk_ms: Annotated[float | None, typer.Option(help="New audio in each step, in milliseconds.")] = None,
    lookahead_ms: Annotated[float | None, typer.Option(help="Audio behind it that is looked at.")] = None,
    left_ms: Annotated[float | None, typer.Option(help="Past audio that attention sees.")] = None,
    load: Annotated[
        str | None, typer.Option(help="When models are loaded: start, or first_use, when a stream asks for one.")
    ] = None,
    unload_seconds: Annotated[
        float | None, typer.Option(help="Let a model go that had no stream for so long; by default never.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the model; by default all cores.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve the same ports, each with the model (1).")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="Where workers count streams, minutes and tokens: a file, or redis://HOST.")
    ] = None,
    max_streams: Annotated[
        int | None, typer.Option(help="Streams at once, of each worker (32); more are refused with 503.")
    ] = None,
    max_viewers: Annotated[int | None, typer.Option(help="Readers of views at once, in all of them (500).")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="TOML with hashed keys; see create-key.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Pages of this origin may connect too; * for all; repeatable.")
    ] = None,
    resume_seconds: Annotated[float | None, typer.Option(help="How long a session waits for its client (30).")] = None,
    start_seconds: Annotated[float | None, typer.Option(help="How long a connection may take to start (10).")] = None,
    idle_seconds: Annotated[
        float | None, typer.Option(help="Longest silence of a client without keepalive (60).")
    ] = None,
    stream_seconds: Annotated[float | None, typer.Option(help="Longest stream, in seconds of audio (14400).")] = None,
    stall_seconds: Annotated[float | None, typer.Option(help="Longest wait for the recognizer's answer (20).")] = None,
    write_seconds: Annotated[float | None, typer.Option(help="How long a client may not read (20).")] = None,
    ping_seconds: Annotated[float | None, typer.Option(help="Websocket pings: interval and patience (20).")] = None,
    token_seconds: Annotated[float | None, typer.Option(help="Life of a browser token (60).")] = None,
    grace_seconds: Annotated[
        float | None, typer.Option(help="How long open streams may go on after SIGTERM (30).")
    ] = None,
    inbox_seconds: Annotated[
        float | None, typer.Option(help="Audio that may wait before a client is held back (5).")
    ] = None,
    message_bytes: Annotated[int | None, typer.Option(help="Longest websocket message (1 MiB).")] = None,
    upload_bytes: Annotated[
        int | None, typer.Option(help="Largest file for /v1/audio/transcriptions (512 MiB).")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_text: Annotated[bool | None, typer.Option(help="Log what was said; off unless asked for.")] = None,
    vosk_port: Annotated[int | None, typer.Option(help="A port for clients of Vosk's server (usually 2700).")] = None,
    vosk_sample_rate: Annotated[int | None, typer.Option(help="Rate where a Vosk client says none (8000).")] = None,
    wyoming_port: Annotated[
        int | None, typer.Option(help="A port for Home Assistant (usually 10300); no keys.")
    ] = None,
    wyoming_stdio: Annotated[
        bool | None, typer.Option(help="Speak Wyoming over standard input and output; its end ends the server.")
    ] = None,
    wyoming_zeroconf: Annotated[
        str | None, typer.Option(help="Announce the Wyoming port on the local network by this name.")
    ] = None,
    twilio_auth_token: Annotated[
        str | None, typer.Option(help="Take only media streams with Twilio's signature; better in the environment.")
    ] = None,
    twilio_url: Annotated[
        str | None, typer.Option(help="The address that Twilio was given, if it is not wss://HOST/v1/twilio.")
    ] = None,
    webhook_url: Annotated[str | None, typer.Option(help="What is said in Twilio's calls is posted there.")] = None,
    webhook_secret: Annotated[
        str | None, typer.Option(help="Key of the webhook's signature; better in the environment.")
    ] = None,
    cluster: Annotated[bool | None, typer.Option(help="Run in Ray Serve, on as many machines as it has.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Copies of the server in a cluster (1).")] = None,
    max_replicas: Annotated[
        int | None, typer.Option(help="The most copies, added as streams come; as many as replicas.")
    ] = None,
    replica_cpus: Annotated[float | None, typer.Option(help="Cores of each copy (1).")] = None,
    replica_gpus: Annotated[float | None, typer.Option(help="GPUs of each copy, or a part of one (0).")] = None,
    ahead_bytes: Annotated[
        int | None, typer.Option(help="Most bytes of a stream that may wait in a cluster (32 MiB).")
    ] = None,
) -> None:
    """Serve live recognition over websockets, and the caption page at /.

    Every option may also stand in the environment (STREAMING_ASR_MAX_STREAMS) or in the TOML file (max_streams); the
    command line counts first, then the environment.
    """
    given = {name: value for name, value in locals().items() if name != "config"}
    settings = read_settings(given, environment=os.environ, file=config)
    for problem in unknown_variables(os.environ):
        typer.echo(f"streaming-asr: {problem}", err=True)
    if settings.cluster:
        serve_cluster(settings)
    else:
        run_server(settings)


def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    streams: Annotated[int | None, typer.Option(help="Most streams at once.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Most minutes of audio per day.")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="It may load models anew.")] = False,
) -> None:
    """Make an API key: shown once, here; what stands in the key file is its hash.

    Put the lines that begin with [[keys]] into the file named by --api-key-file.
    """
    from streaming_asr_server.access.authentication import hash_key, new_key

    key = new_key()
    limits = [
        f"{limit} = {value}" for limit, value in (("streams", streams), ("minutes", minutes)) if value is not None
    ]
    typer.echo(f'# key: {key}\n[[keys]]\nname = {_quoted(name)}\nsha256 = "{hash_key(key)}"')
    for line in [*limits, *(["reload = true"] if reload else [])]:
        typer.echo(line)


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    import json

    return json.dumps(text)


def run_server(settings: Settings) -> None:
    """Load what the settings ask for and serve until a signal comes. Raises MissingExtraError, OptionError."""
    try:
        import prometheus_client
        import starlette
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtraError("streaming-asr serve", "server") from error
    logger.debug("starlette %s, uvicorn %s, %s", starlette.__version__, uvicorn.__version__, prometheus_client.__name__)
    from streaming_asr_server import logs
    from streaming_asr_server.loading import load_recognition, model_sources

    logs.configure(settings.log_level)
    page = f"{'https' if settings.tls_cert else 'http'}://{_shown_host(settings.host)}:{settings.port}/"

    def announce() -> None:
        typer.echo(f"Live captions: {page}", err=settings.wyoming_stdio)

    if settings.workers > 1:
        from streaming_asr_server.workers.serving import serve_with_workers

        shared = settings.device == "cpu" and settings.load == "start" and not settings.models
        serve_with_workers(settings, load_recognition, announce, shared_weights=shared)
        return
    from streaming_asr_server.access.authentication import ApiKeys
    from streaming_asr_server.access.ledger.opening import open_ledger
    from streaming_asr_server.application import create_application
    from streaming_asr_server.running import freeze_loaded, run
    from streaming_asr_server.service import Service

    def announce_loaded() -> None:
        freeze_loaded()
        announce()

    keys = ApiKeys.read(settings.api_key_file) if settings.api_key_file else None
    service = Service(
        settings,
        load=model_sources(settings),
        keys=keys,
        announce=announce_loaded,
        ledger=open_ledger(settings.ledger or "memory", worker=f"{socket.gethostname()}-{os.getpid()}"),
    )
    logger.info("loading", extra={"page": page, "keys": keys is not None})
    run(create_application(service), service, settings)


def serve_cluster(settings: Settings) -> None:
    """Run copies of the server in Ray Serve until a signal comes. Raises MissingExtraError, OptionError."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("streaming-asr serve --cluster", "cluster") from error
    logger.debug("ray %s", ray.__version__)
    from streaming_asr_server import logs
    from streaming_asr_server.cluster import run_cluster

    logs.configure(settings.log_level)
    page = f"{'https' if settings.tls_cert else 'http'}://{_shown_host(settings.host)}:{settings.port}/"
    run_cluster(settings, announce=lambda: typer.echo(f"Live captions: {page}"))


def _shown_host(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host
