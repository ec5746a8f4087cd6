"""The query of Deepgram's `/v2/listen` (Flux), and what `Configure` changes of it while the stream runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from streaming_asr_server.adapter.interface import HOTWORD_WEIGHT, AudioFormat, OpenStream, Turns
from streaming_asr_server.protocols.deepgram.options import MAXIMUM_TERMS, UnusableQueryError, audio_format, number

_SHORTEST_MS: Final = 200
_LONGEST_SHORT_MS: Final = 1_000
"""Silence behind a complete sentence that ends the turn, at the lowest threshold and just below the highest."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a parameter may have, and the one that it has where it is left out."""

    name: str
    low: float
    high: float
    usual: float | None

    def checked(self, value: float | None) -> float | None:
        """A value of the client, or the usual one for None. Raises ValueError with the value."""
        if value is None:
            return self.usual
        if not self.low <= value <= self.high:
            raise ValueError(f"{self.name} is {value:g}; it must be from {self.low:g} to {self.high:g}")
        return value


EOT: Final = Range("eot_threshold", 0.5, 1.0, 0.7)
EAGER: Final = Range("eager_eot_threshold", 0.3, 0.9, None)
TIMEOUT: Final = Range("eot_timeout_ms", 500, 60_000, 5_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a turn ends: how sure one must be, and after how much silence it ends in any case."""

    eot: float = 0.7
    eager: float | None = None
    timeout_ms: float = 5_000

    def turns(self) -> Turns:
        """The same in the library's terms: the surer one must be, the longer a complete sentence is waited for.

        At 1.0 only the timeout ends a turn.
        """
        share = (self.eot - EOT.low) / (EOT.high - EOT.low)
        shortest = _SHORTEST_MS + share * (_LONGEST_SHORT_MS - _SHORTEST_MS)
        return Turns(self.timeout_ms if share == 1.0 else min(shortest, self.timeout_ms), self.timeout_ms)

    def changed(self, fields: Mapping[str, object]) -> Thresholds:
        """These with the values that a client sent. Raises ValueError with the value that cannot be."""
        eot, timeout = _sent(fields, EOT, self.eot), _sent(fields, TIMEOUT, self.timeout_ms)
        return Thresholds(
            eot=self.eot if eot is None else eot,
            eager=_sent(fields, EAGER, self.eager),
            timeout_ms=self.timeout_ms if timeout is None else timeout,
        )

    def told(self) -> dict[str, float]:
        """As `ConfigureSuccess` repeats them."""
        eager = {} if self.eager is None else {EAGER.name: self.eager}
        return {EOT.name: self.eot, **eager, TIMEOUT.name: round(self.timeout_ms)}


@dataclass(frozen=True, slots=True)
class FluxListen:
    """What one connection asked for."""

    audio: AudioFormat
    thresholds: Thresholds
    keyterms: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Names of parameters that changed nothing, sorted."""
    adaptive: bool = True
    """Whether there is a text model that knows when a sentence is complete; without one the silence is fixed."""
    model: str | None = None

    def open(self) -> OpenStream:
        """The stream to be opened."""
        turns = self.thresholds.turns() if self.adaptive else None
        return OpenStream(audio=self.audio, hotwords=weighted(self.keyterms), turns=turns, model=self.model)


_USED: Final = frozenset(("model", "encoding", "sample_rate", "keyterm", EOT.name, EAGER.name, TIMEOUT.name))
_HARMLESS: Final = frozenset(("tag", "mip_opt_out", "token", "access_token"))


def parse_flux(query: Iterable[tuple[str, str]]) -> FluxListen:
    """The options in a query, as decoded pairs.

    Raises:
        UnusableQueryError: the audio cannot be understood as declared, or a threshold is out of its range.
    """
    pairs = [(name, value) for name, value in query if value != ""]
    first = dict(reversed(pairs))
    thresholds = {one.name: _numeric(one, first[one.name]) for one in (EOT, EAGER, TIMEOUT) if one.name in first}
    try:
        chosen = Thresholds().changed(thresholds)
    except ValueError as error:
        raise UnusableQueryError(str(error)) from error
    terms = tuple(dict.fromkeys(value.strip() for name, value in pairs if name == "keyterm" and value.strip()))
    ignored = sorted({name for name, _ in pairs if name not in _USED | _HARMLESS})
    return FluxListen(audio_format(first), chosen, terms[:MAXIMUM_TERMS], tuple(ignored), model=first.get("model"))


def weighted(keyterms: Iterable[str]) -> dict[str, float]:
    """Keyterms as hotwords."""
    return dict.fromkeys(keyterms, HOTWORD_WEIGHT)


def _numeric(parameter: Range, text: str) -> float:
    value = number(text)
    if value is None:
        raise UnusableQueryError(
            f"{parameter.name} is {text!r}; it must be a number from {parameter.low:g} to {parameter.high:g}"
        )
    return value


def _sent(fields: Mapping[str, object], parameter: Range, before: float | None) -> float | None:
    value = fields.get(parameter.name)
    if value is None:
        return before
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{parameter.name} is {value!r}; it must be a number")
    return parameter.checked(float(value))
