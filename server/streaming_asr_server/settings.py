"""All options of a server: from the command line, the environment, a TOML file, or their defaults, in this order."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_type_hints

from streaming_asr.errors import OptionError
from streaming_asr_server.model_settings import INHERITED, ModelSettings, RecognizerSettings, named_models, read_models
from streaming_asr_server.option_values import converted

PREFIX: Final = "STREAMING_ASR_"
"""`max_streams` is `STREAMING_ASR_MAX_STREAMS` in the environment."""

_EMBEDDED_NAME: Final = "english"

_OTHER_VARIABLES: Final = frozenset(("CONFIG", "API_KEY"))
"""Of the command line: the settings file, and the key of the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(RecognizerSettings):
    """Options of `streaming-asr serve`; times in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 8765
    models: tuple[ModelSettings, ...] = ()
    """Several models, each with options of its own; the first is that of clients who name none."""
    threads: int | None = None
    workers: int = 1
    ledger: str | None = field(default=None, repr=False)
    max_streams: int = 32
    max_viewers: int = 500
    api_key_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_origin: tuple[str, ...] = ()
    resume_seconds: float = 30.0
    start_seconds: float = 10.0
    idle_seconds: float = 60.0
    stream_seconds: float = 14_400.0
    stall_seconds: float = 20.0
    write_seconds: float = 20.0
    ping_seconds: float = 20.0
    token_seconds: float = 60.0
    grace_seconds: float = 30.0
    inbox_seconds: float = 5.0
    message_bytes: int = 1 << 20
    upload_bytes: int = 512 << 20
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_text: bool = False
    vosk_port: int | None = None
    vosk_sample_rate: int = 8_000
    wyoming_port: int | None = None
    wyoming_stdio: bool = False
    wyoming_zeroconf: str | None = None
    twilio_auth_token: str | None = field(default=None, repr=False)
    twilio_url: str | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    cluster: bool = False
    replicas: int = 1
    max_replicas: int | None = None
    replica_cpus: float = 1.0
    replica_gpus: float = 0.0
    ahead_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{name} is {value}; it must be over 0")
        for name in ("port", "vosk_port", "wyoming_port"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= 65_535:
                raise OptionError(f"{name} is {port}; it must be from 0 to 65535")
        if not 8_000 <= self.vosk_sample_rate <= 192_000:
            raise OptionError(f"vosk_sample_rate is {self.vosk_sample_rate}; it must be from 8000 to 192000")
        if self.webhook_url is not None and not self.webhook_secret:
            raise OptionError("webhook_secret is missing; the receiver of webhook_url needs it to know who calls")
        if self.wyoming_zeroconf is not None and self.wyoming_port is None:
            raise OptionError("wyoming_zeroconf announces wyoming_port; give that too")
        if self.wyoming_stdio and self.workers > 1:
            raise OptionError(f"workers is {self.workers}, and wyoming_stdio speaks with one program; leave one out")
        if self.cluster and self.workers > 1:
            raise OptionError(f"workers is {self.workers}, and a cluster has replicas; leave one of them out")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise OptionError("tls_cert and tls_key belong together; give both or neither")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise OptionError(f"max_replicas is {self.max_replicas}; it must be at least replicas, {self.replicas}")
        if self.workers > 1 and any(model.vosk_port is not None for model in self.models):
            raise OptionError("vosk_port of a model needs workers = 1; workers share the vosk_port of the server")
        self.served()  # what is wrong with a model's options is told at once

    def served(self) -> tuple[ModelSettings, ...]:
        """The models of this server, one at least."""
        return self.models or (ModelSettings(name=_plain_name(self.model), **self.defaults()),)

    def defaults(self) -> dict[str, Any]:
        """The options that a model has where its table has none."""
        return {name: getattr(self, name) for name in INHERITED}


_POSITIVE: Final = (
    *(
        "beam_width",
        "threads",
        "workers",
        "max_streams",
        "max_viewers",
        "start_seconds",
        "idle_seconds",
        "stream_seconds",
        "stall_seconds",
        "write_seconds",
        "replicas",
        "max_replicas",
        "replica_cpus",
        "ahead_bytes",
    ),
    *("ping_seconds", "token_seconds", "inbox_seconds", "message_bytes", "upload_bytes"),
)


def read_settings(given: Mapping[str, Any], *, environment: Mapping[str, str], file: Path | None = None) -> Settings:
    """Options from all places; those in `given` that are None were not given.

    Raises:
        OptionError: a file that cannot be read, an unknown option in it, or a value that cannot work.
    """
    hints = get_type_hints(Settings)
    variables = {name: environment.get(PREFIX + name.upper()) for name in hints if name != "models"}
    values: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for place in (_from_file(file), variables, given):
        told = {name: value for name, value in place.items() if value is not None}
        tables = _with_models(tables, told)
        values |= {name: converted(name, value, hints) for name, value in told.items()}
    if not tables:
        return Settings(**values)
    defaults = {name: value for name, value in values.items() if name in INHERITED and name != "model"}
    return Settings(**values, models=read_models(tables, defaults))


def _with_models(tables: Mapping[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The tables of models, and what one place more says of them, which is taken out of it.

    Raises OptionError for a model without a name among several.
    """
    mine = told.pop("models", {})
    if not isinstance(mine, Mapping):
        raise OptionError(f"models is {mine!r}; it must be a table for each model: [models.NAME]")
    if "model" not in told:
        return {**tables, **mine}
    named = named_models(told["model"])
    if named is None:  # one model takes the place of all that were named elsewhere
        told["model"] = told["model"] if isinstance(told["model"], str) else told["model"][0]
        return dict(mine)
    del told["model"]
    return {**tables, **mine, **{name: {**tables.get(name, {}), **table} for name, table in named.items()}}


def _plain_name(model: str | None) -> str:
    """What clients call a model that was given no name: as the hub has it, or as its folder is called."""
    return model or _EMBEDDED_NAME


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """What is wrong with variables that look like options and are none, a sentence each.

    They are no errors: an orchestrator sets some of its own, like `STREAMING_ASR_SERVICE_HOST`.
    """
    known = {name.upper() for name in get_type_hints(Settings) if name != "models"} | _OTHER_VARIABLES
    given = (name.removeprefix(PREFIX) for name in environment if name.startswith(PREFIX))
    unknown = sorted(name for name in given if name not in known)
    return [f"{PREFIX}{name} is no option and changes nothing{_suggestion(name, known)}" for name in unknown]


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {PREFIX}{close[0]}?" if close else ""


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"the settings file {file} cannot be read: {error}") from error
