"""The options of one model of a server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_type_hints

from streaming_asr.decoding import DEFAULT_WEIGHT
from streaming_asr.errors import OptionError
from streaming_asr_server.option_values import converted

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAMED: Final = re.compile(rf"(?P<name>{_NAME.pattern})=(?P<where>.*)")
_POSITIVE: Final = ("beam_width", "maximum_languages", "max_streams", "chunk_ms")
_NOT_NEGATIVE: Final = ("lookahead_ms", "left_ms", "unload_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerSettings:
    """What a server says of its one model, or of each of several that does not say otherwise."""

    model: str | None = None
    """A folder or a hub name; None is the embedded English model."""
    language: str | None = None
    languages: tuple[str, ...] = ()
    maximum_languages: int = 32
    revision: str | None = None
    device: str = "cpu"
    precision: Literal["float32", "int8", "bfloat16"] = "float32"
    language_model: str | None = "auto"
    beam_width: int = 50
    detector: Literal["webrtc", "silero"] = "webrtc"
    chunk_ms: float | None = None
    lookahead_ms: float | None = None
    left_ms: float | None = None
    load: Literal["start", "first_use"] = "start"
    unload_seconds: float | None = None
    """Without a stream for so long, it is let go until it is asked for again; None keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings(RecognizerSettings):
    """What one model is, and how it is used; what is None is as the model has it, or has no limit."""

    name: str
    """What clients call it."""
    hotwords: Mapping[str, float] = field(default_factory=dict)
    max_streams: int | None = None
    vosk_port: int | None = None
    """A port for clients of Vosk's server that has this model only."""

    def __post_init__(self) -> None:
        if self.vosk_port is not None and not 0 <= self.vosk_port <= 65_535:
            raise OptionError(f"vosk_port of the model {self.name!r} is {self.vosk_port}; it must be from 0 to 65535")
        for names, lowest in ((_POSITIVE, 1), (_NOT_NEGATIVE, 0)):
            for name in names:
                value = getattr(self, name)
                if value is not None and not lowest <= value < float("inf"):
                    raise OptionError(f"{name} of the model {self.name!r} is {value}; it must be {lowest} or more")

    @property
    def all_languages(self) -> bool:
        """Whether streams may name every language that the checkpoint has."""
        return "all" in self.languages


INHERITED: Final = tuple(one.name for one in fields(RecognizerSettings))
"""Options that a model without one of its own has from the server."""

Tables = Mapping[str, Mapping[str, Any]]
"""By a model's name: its options as they were written."""


def named_models(told: str | Sequence[str]) -> Tables | None:
    """`english=folder` of a command line, or of the environment with commas, as tables; None for one without a name.

    Raises OptionError if there are several and one has no name.
    """
    text = told if isinstance(told, str) else ""
    entries = text.split(",") if _NAMED.fullmatch(text) else [text] if text else told
    found = [_NAMED.fullmatch(entry) for entry in entries]
    if len(entries) == 1 and found[0] is None:
        return None
    for entry, match in zip(entries, found, strict=True):
        if match is None:
            raise OptionError(f"model is {entry!r}; of several models each needs a name: --model NAME=FOLDER_OR_HUB")
    return {match["name"]: {"model": match["where"]} if match["where"] else {} for match in found if match}


def read_models(tables: Any, defaults: Mapping[str, Any]) -> tuple[ModelSettings, ...]:
    """Tables of a file as settings, with the server's own values where a table has none. Raises OptionError."""
    if not isinstance(tables, Mapping):
        raise OptionError(f"models is {tables!r}; it must be a table for each model: [models.NAME]")
    return tuple(_read_model(name, table, defaults) for name, table in tables.items())


def _read_model(name: str, table: Any, defaults: Mapping[str, Any]) -> ModelSettings:
    if not _NAME.fullmatch(name):
        raise OptionError(f"models has {name!r}; a name is made of at most 64 letters, digits, '.', '_' and '-'")
    if not isinstance(table, Mapping):
        raise OptionError(f"models.{name} is {table!r}; it must be a table of options")
    hints = {key: hint for key, hint in get_type_hints(ModelSettings).items() if key != "name"}
    given = {key: converted(key, value, hints) for key, value in table.items() if key != "hotwords"}
    if "hotwords" in table:
        given["hotwords"] = _hotwords(name, table["hotwords"])
    return ModelSettings(**{**defaults, **given, "name": name})


def _hotwords(name: str, value: Any) -> Mapping[str, float]:
    if isinstance(value, Mapping):
        weights = dict(value)
    elif isinstance(value, list):
        weights = dict.fromkeys(map(str, value), DEFAULT_WEIGHT)
    else:
        weights = {"": value}
    if not all(word and isinstance(weight, int | float) for word, weight in weights.items()):
        raise OptionError(f"hotwords of the model {name!r} are {value!r}; write a list of words, or a table of weights")
    return weights
