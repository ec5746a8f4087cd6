"""`streaming-asr serve` and `streaming-asr create-key`."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from streaming_asr.errors import MissingExtraError
from streaming_asr_server.serve_options import LimitOptions, ListeningOptions, ModelOptions, ReportOptions, ScaleOptions
from streaming_asr_server.settings import Settings, read_settings, unknown_variables

logger = logging.getLogger(__name__)


def serve(
    models: ModelOptions,
    listening: ListeningOptions,
    limits: LimitOptions,
    scale: ScaleOptions,
    reports: ReportOptions,
    config: Annotated[
        Path | None, typer.Option(envvar="STREAMING_ASR_CONFIG", help="A TOML file with any of these options.")
    ] = None,
) -> None:
    """Serve live recognition over websockets, and the caption page at /.

    Every option may also stand in the environment (STREAMING_ASR_MAX_STREAMS) or in the TOML file (max_streams); the
    command line counts first, then the environment.
    """
    given = {
        name: value for group in (models, listening, limits, scale, reports) for name, value in asdict(group).items()
    }
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
    from streaming_asr_server.access.ledger.opening import open_ledger, process_name
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
        ledger=open_ledger(settings.ledger or "memory", worker=process_name()),
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
