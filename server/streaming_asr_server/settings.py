"""All options of a server: from the command line, the environment, a TOML file, or their defaults, in this order."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from streaming_asr.errors import OptionError

PREFIX: Final = "STREAMING_ASR_"
"""`max_streams` is `STREAMING_ASR_MAX_STREAMS` in the environment."""

_OTHER_VARIABLES: Final = frozenset(("CONFIG", "API_KEY"))
"""Of the command line: the settings file, and the key of the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of `streaming-asr serve`; times in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 8765
    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] = ()
    revision: str | None = None
    device: str = "cpu"
    precision: Literal["float32", "int8", "bfloat16"] = "float32"
    language_model: str | None = "auto"
    beam_width: int = 50
    detector: Literal["webrtc", "silero"] = "webrtc"
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
        if "all" in self.languages:
            raise OptionError("languages is 'all'; name them: each is loaded before the server is ready")
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
    values = {name: _converted(name, value, hints) for name, value in _from_file(file).items()}
    for name in hints:
        text = environment.get(PREFIX + name.upper())
        if text is not None:
            values[name] = _converted(name, text, hints)
    values |= {name: _converted(name, value, hints) for name, value in given.items() if value is not None}
    return Settings(**values)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """What is wrong with variables that look like options and are none, a sentence each.

    They are no errors: an orchestrator sets some of its own, like `STREAMING_ASR_SERVICE_HOST`.
    """
    known = {name.upper() for name in get_type_hints(Settings)} | _OTHER_VARIABLES
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


def _converted(name: str, value: Any, hints: Mapping[str, Any]) -> Any:
    """A value as its option's type wants it; text may be any of them."""
    if name not in hints:
        raise OptionError(f"there is no option {name!r}; there are {', '.join(hints)}")
    wanted = hints[name]
    kinds = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    for kind in kinds:
        converted = _as_kind(value, kind)
        if converted is not _NOT_SO:
            return converted
    raise OptionError(f"{name} is {value!r}; it must be {_description(kinds)}")


_NOT_SO: Final = object()
_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _as_kind(value: Any, kind: Any) -> Any:
    """A value as one kind, or `_NOT_SO`."""
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else _NOT_SO
    if get_origin(kind) is tuple:
        return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
    if kind is bool:
        return value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower(), _NOT_SO)
    if kind is Path:
        return Path(value) if isinstance(value, str | Path) else _NOT_SO
    if kind is str:
        return value if isinstance(value, str) else _NOT_SO
    if isinstance(value, bool) or kind is type(None):
        return _NOT_SO
    try:
        return kind(value)
    except (TypeError, ValueError):
        return _NOT_SO


def _description(kinds: tuple[Any, ...]) -> str:
    names = [
        " or ".join(map(repr, get_args(kind))) if get_origin(kind) is Literal else _NAMES.get(kind, "")
        for kind in kinds
    ]
    return " or ".join(name for name in names if name) or "a list"


_NAMES: Final[Mapping[Any, str]] = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
}
