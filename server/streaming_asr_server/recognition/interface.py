"""What the server needs of a recognizer; everything else of it is none of the server's business.

`model` beside it has the real one, `scripted` one without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streaming_asr.audio.samples import Samples
from streaming_asr.events import Event
from streaming_asr.protocol import EndpointRules, Start, Update
from streaming_asr.text import FormatOptions


@dataclass(frozen=True, slots=True)
class Load:
    """What a recognizer has done since it started: `waiting` jobs now, model `steps` and the `chunks` in them."""

    waiting: int = 0
    steps: int = 0
    chunks: int = 0


class RecognitionStream(Protocol):
    """One stream; its coroutines are awaited one after the other.

    Cancelling one leaves the stream in an unknown state: close it.
    """

    @property
    def acknowledged(self) -> int:
        """Position in samples at 16 kHz before which all speech is in finals that were returned."""

    @property
    def patience(self) -> int:
        """Samples that must be pushed, at least, before anything can come of them."""

    @property
    def unspellable(self) -> Sequence[str]:
        """Hotwords in force that the model cannot spell."""

    @property
    def endpoint(self) -> EndpointRules:
        """The endpoint rules in force, all of them."""

    async def push(self, samples: Samples) -> list[Event]:
        """Take in mono samples at 16 kHz, shape (samples,)."""

    async def finalize(self) -> list[Event]:
        """End the utterance now."""

    async def finish(self) -> list[Event]:
        """End the stream."""

    async def update(self, update: Update) -> None:
        """Change hotwords or endpoint rules from here on. Raises OptionError if they cannot work."""

    def close(self) -> None:
        """Let go of everything; nothing is awaited any more."""


class StreamOpener(Protocol):
    """Opens streams."""

    def open(
        self,
        start: Start,
        *,
        formatted: FormatOptions | None = None,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> RecognitionStream:
        """A new stream for one channel, whose clock begins at `first_sample` (16 kHz). Raises OptionError.

        `formatted` says how words are formatted where `start` wants that.
        """


class Recognition(StreamOpener, Protocol):
    """A loaded model; shared by all connections."""

    @property
    def name(self) -> str:
        """The model's name, as clients see it."""

    @property
    def languages(self) -> Sequence[str]:
        """BCP 47 tags of what streams may name; none if the model does not say."""

    @property
    def load(self) -> Load:
        """For metrics."""

    async def warm_up(self) -> None:
        """Make the first stream as fast as the next ones."""

    async def prepare(self, language: str | None) -> None:
        """Load what streams in a language need, so that `open` need not. Raises OptionError."""

    def close(self) -> None:
        """End what runs in the background."""
