"""A server as a recognizer: the interface of `streaming_asr.Recognizer`, without asyncio, torch or a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict, TypeVar, Unpack

from streaming_asr.audio.encodings import Encoding, PcmPiece
from streaming_asr.audio.sources import Source
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import OptionError
from streaming_asr.events import Event
from streaming_asr.recognition import recognize, transcribe
from streaming_asr.transcript import Transcript
from streaming_asr_client.connection import ClientOptions, StreamConnection, connect

_Result = TypeVar("_Result")


class RemoteOptions(TypedDict, total=False):
    """The options of `RemoteRecognizer.stream` that do not describe the audio; a source describes its audio itself."""

    hotwords: Mapping[str, float] | Sequence[str] | None
    endpoint: EndpointOptions | None
    partials: bool
    partial_interval_ms: float
    alternatives: int
    model: str | None
    language: str | None


class RemoteRecognizer:
    """A server at `url`, for code that knows the library's own recognizer; its event loop runs on a thread of its own.

    It is a context manager; `close()` ends the thread and all streams.
    """

    def __init__(self, url: str, *, api_key: str | None = None, client: ClientOptions | None = None) -> None:
        self._url = url
        self._api_key = api_key
        self._client = client
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever, name="streaming-asr client", daemon=True)
        self._streams: list[RemoteStream] = []
        self._thread.start()

    def stream(
        self,
        *,
        sample_rate: int,
        encoding: Encoding | None = None,
        channels: int = 1,
        hotwords: Mapping[str, float] | Sequence[str] | None = None,
        endpoint: EndpointOptions | None = None,
        partials: bool = True,
        partial_interval_ms: float = 0,
        alternatives: int = 1,
        formatted: bool = True,
        model: str | None = None,
        language: str | None = None,
        **others: Any,
    ) -> RemoteStream:
        """Open a stream with the options of `Recognizer.stream` that a server takes; connects at once.

        Args:
            sample_rate: of what will be pushed, 8000 to 192000 samples per second.
            encoding: how bytes that are pushed are written; None is linear16.
            channels: interleaved channels; the mean of all is recognized.
            hotwords: words to favour, with or without a weight each.
            endpoint: when an utterance is over; None leaves it to the server.
            partials: whether partials are sent.
            partial_interval_ms: at least so much audio between two partials.
            alternatives: entries of a final's n-best list.
            model: one of the server's models by its name; None is the one that fits the language.
            language: a code like "fr"; None is the model's own.

        Raises:
            OptionError: an option that only a recognizer in this process has.
            RefusedError, ConnectionLostError: the server is not to be had.
        """
        refused = sorted(name for name, value in others.items() if value is not None)
        if refused:
            raise OptionError(f"{', '.join(refused)} cannot be chosen with a server: the server has its own")
        connection = connect(
            self._url,
            api_key=self._api_key,
            client=self._client,
            encoding=encoding or "linear16",
            sample_rate=sample_rate,
            channels=channels,
            hotwords=_hotwords(hotwords),
            endpoint=_rules(endpoint),
            partials=partials,
            partial_interval_ms=round(partial_interval_ms),
            alternatives=alternatives,
            formatted=formatted,
            model=model,
            language=language,
        )
        stream = RemoteStream(connection, self._wait)
        self._streams = [open_stream for open_stream in self._streams if not open_stream.closed] + [stream]
        return stream

    def recognize(self, source: Source | str | Path, **options: Unpack[RemoteOptions]) -> Iterator[Event]:
        """The events of a source, as they come: a microphone, an open file, or the name of a file.

        Rate and channels are the source's; `options` are those of `stream`. Where the source breaks off with an error
        or Ctrl-C, what was read before is recognized first, and then the error is raised.

        Raises:
            AudioError: there is no such file, or it cannot be read; from the iterator, if it is damaged further on.
            RefusedError, ConnectionLostError: the server is not to be had.
        """
        return recognize(self.stream, source, options)

    def transcribe(self, source: Source | str | Path, **options: Unpack[RemoteOptions]) -> Transcript:
        """What a whole recording says, given as an open source or the name of a file; `options` are those of `stream`.

        Raises:
            AudioError: there is no such file, or it cannot be read to its end.
            RefusedError, ConnectionLostError: the server is not to be had.
        """
        return transcribe(self.stream, source, {"partials": False, **options})

    def close(self) -> None:
        """Close all streams and end the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        for stream in self._streams:
            stream.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine on the client's thread and wait for it; an interrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


class RemoteStream:
    """One stream on a server, with the verbs of `streaming_asr.Stream`.

    The server answers when it can: `push` and `finalize` return what has come so far, `finish` waits for all the rest.
    """

    def __init__(self, connection: connect, wait: Any) -> None:
        self._connection = connection
        self._wait = wait
        self._stream: StreamConnection = wait(connection.__aenter__())
        self._arrived: list[Event] = []
        self._failure: BaseException | None = None
        self._reader: asyncio.Task[None] = wait(self._read())
        self.closed = False

    @property
    def acknowledged(self) -> int:
        """Samples, at the rate of what is pushed, that are in finals or were silence."""
        return self._stream.acknowledged

    def push(self, piece: PcmPiece) -> list[Event]:
        """Send audio; returns the events that have come since. Waits if too much is unacknowledged."""
        self._raise_failure()
        self._wait(self._stream.send(piece))
        return self._take()

    def finalize(self) -> list[Event]:
        """End the utterance; its final comes with one of the next calls."""
        self._raise_failure()
        self._wait(self._stream.finalize())
        return self._take()

    def set_hotwords(self, hotwords: Mapping[str, float] | Sequence[str] | None) -> None:
        """Change the hotwords from here on."""
        self._wait(self._stream.update(hotwords=_hotwords(hotwords)))

    def finish(self) -> list[Event]:
        """End the stream; waits for everything that the server has to say."""
        self._wait(self._finish())
        self._raise_failure()
        return self._take()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        if not self.closed:
            self._wait(self._close())

    def _take(self) -> list[Event]:
        events, self._arrived = self._arrived, []
        return events

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _read(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._gather(), name="streaming-asr reader")

    async def _gather(self) -> None:
        try:
            async for event in self._stream:
                self._arrived.append(event)
        except Exception as error:  # noqa: BLE001 - raised again by the next call
            self._failure = error

    async def _finish(self) -> None:
        await self._stream.finish()
        await self._reader
        await self._close()

    async def _close(self) -> None:
        self.closed = True
        await self._connection.__aexit__(None, None, None)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


def _hotwords(hotwords: Mapping[str, float] | Sequence[str] | None) -> dict[str, float] | tuple[str, ...]:
    if hotwords is None:
        return {}
    return dict(hotwords) if isinstance(hotwords, Mapping) else tuple(hotwords)


def _rules(endpoint: EndpointOptions | None) -> dict[str, float | str | None]:
    return {} if endpoint is None else asdict(endpoint)
