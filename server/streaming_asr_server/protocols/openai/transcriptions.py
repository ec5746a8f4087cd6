"""`POST /v1/audio/transcriptions`: recorded files, in the shape of OpenAI's REST interface."""

from __future__ import annotations

import json
import math
import typing
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from streaming_asr.errors import AudioError, OptionError
from streaming_asr.events import Event, Final, Partial
from streaming_asr.protocol import ProtocolError, Start
from streaming_asr.transcript import Transcript
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.adapter.choosing import chosen_model
from streaming_asr_server.adapter.languages import main_language
from streaming_asr_server.adapter.recordings import Recognized, Recording, channels_of, on_disk, recognize
from streaming_asr_server.connection.serving import caller, check_origin
from streaming_asr_server.protocols.openai.route import OWN_MODELS, denial
from streaming_asr_server.service import KeyMeter, Service

ResponseFormat: TypeAlias = Literal["json", "verbose_json", "text", "srt", "vtt"]

_GRANULARITIES: typing.Final = ("word", "segment")
_MAXIMUM_FIELDS: typing.Final = 32
_READ_BYTES: typing.Final = 1 << 20
_MAXIMUM_CHANNELS: typing.Final = 20
"""As many as Deepgram's interface takes: each is a pass over the recording."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks for; fields that this server has no use for (`prompt`, …) are passed over."""

    response_format: ResponseFormat
    model: str | None
    language: str | None
    words: bool
    stream: bool
    track: int | str | None = None
    """The audio track of a film, by number or language; a field of our own."""
    channel: int | Literal["each"] | None = None
    """The channel to hear, or each by itself; a field of our own."""


async def transcribe(service: Service, request: Request) -> Response:
    """Answer one upload. If the client goes away, the work ends at the next second of audio."""
    try:
        response = await _answer(service, request)
    except (Refusal, ProtocolError, AudioError, OptionError) as error:
        response = denial(_refusal(error))
    service.metrics.requests.labels(str(response.status_code)).inc()
    return response


async def _answer(service: Service, request: Request) -> Response:
    async with AsyncExitStack() as stack:
        check_origin(service, request)
        principal = await caller(service, request)
        await stack.enter_async_context(service.admission.stream(principal))
        form, recording = await _upload(request, service.settings.upload_bytes, stack)
        options = _options(form)
        service.check_loaded()
        model = chosen_model(service, OWN_MODELS, options.model, options.language)
        start = Start(model=model, language=options.language, partials=options.stream)
        meter, gone = service.meter(principal), request.is_disconnected
        if options.channel == "each":
            return await _each_channel(service, request, recording, start, options, meter)
        pieces = recognize(
            service, recording, start, meter=meter, gone=gone, channel=options.channel, track=options.track
        )
        await stack.enter_async_context(aclosing(pieces))
        # What cannot be recognized shall be an error of HTTP, also where the answer comes in pieces.
        first = await anext(pieces)
        if options.stream:
            return EventStream(_deltas(first, pieces), stack.pop_all())
        transcript, notes = await _transcript(first, pieces)
        return _response(transcript, options, _language(service, start, transcript.utterances), notes)


def _language(service: Service, start: Start, said: Sequence[Final]) -> str:
    """What was found out or asked for, else the model's."""
    detected = main_language(said)
    if detected is not None:
        return detected.code
    languages = service.models.choose(start.model, start.language).languages
    return start.language or (languages[0] if len(languages) == 1 else "")


async def _each_channel(
    service: Service, request: Request, recording: Recording, start: Start, options: Options, meter: KeyMeter
) -> Response:
    """What each channel says by itself, and all together in the order of time."""
    transcripts, notes = [], tuple[str, ...]()
    count = min(await channels_of(recording, None, track=options.track), _MAXIMUM_CHANNELS)
    for channel in range(max(count, 1)):
        gone, track = request.is_disconnected, options.track
        pieces = recognize(service, recording, start, meter=meter, gone=gone, channel=channel, track=track)
        async with aclosing(pieces):
            transcript, notes = await _transcript(await anext(pieces), pieces)
            transcripts.append(transcript)
    said = [final for one in transcripts for final in one.utterances]
    return JSONResponse(_by_channel(transcripts, options, _language(service, start, said)) | _noted(notes))


async def _upload(request: Request, limit: int, stack: AsyncExitStack) -> tuple[FormData, Recording]:
    """The form, and its file on disk for as long as the stack lasts."""
    body = Request(request.scope, _limited(request, limit))
    try:
        form = await body.form(max_files=1, max_fields=_MAXIMUM_FIELDS)
    except HTTPException as error:
        raise OptionError(f"the form cannot be read: {error.detail}") from error
    stack.push_async_callback(form.close)
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise OptionError("the form has no file in its field 'file'")
    return form, await stack.enter_async_context(on_disk(_pieces(file), file.filename or ""))


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(_READ_BYTES):
        yield piece


def _limited(request: Request, limit: int) -> Receive:
    """The request's body, refused as soon as it is longer than the limit, whatever its header says."""
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        message = await request.receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise Refusal(413, "too_big", f"the upload is over {limit} bytes")
        return message

    return receive


def _options(form: FormData) -> Options:
    response_format = str(form.get("response_format") or "json")
    if response_format not in get_args(ResponseFormat):
        wanted = ", ".join(get_args(ResponseFormat))
        raise OptionError(f"response_format is {response_format!r:.60}; it must be one of {wanted}")
    stream = str(form.get("stream", "false")).lower() in ("true", "1")
    if stream and response_format not in ("json", "text"):
        raise OptionError(f"response_format is {response_format!r}; with stream it must be json or text")
    language = str(form.get("language") or "") or None
    model = str(form.get("model") or "") or None
    words = "word" in _granularities(form)
    channel = _channel(form)
    if channel == "each" and (stream or response_format not in ("json", "verbose_json")):
        raise OptionError("channel is 'each'; response_format must be json or verbose_json then, without stream")
    return Options(cast(ResponseFormat, response_format), model, language, words, stream, _track(form), channel)


def _track(form: FormData) -> int | str | None:
    track = str(form.get("track") or "") or None
    return int(track) if track is not None and track.isdecimal() else track


def _channel(form: FormData) -> int | Literal["each"] | None:
    channel = str(form.get("channel") or "")
    if channel == "each" or not channel:
        return "each" if channel else None
    if not channel.isdecimal():
        raise OptionError(f"channel is {channel!r:.60}; it must be a number from 0, or 'each'")
    return int(channel)


def _granularities(form: FormData) -> list[str]:
    names = ("timestamp_granularities[]", "timestamp_granularities")
    granularities = [str(value) for name in names for value in form.getlist(name)]
    for value in granularities:
        if value not in _GRANULARITIES:
            wanted = ", ".join(_GRANULARITIES)
            raise OptionError(f"timestamp_granularities[] is {value!r:.60}; it must be of {wanted}")
    return granularities


def _refusal(error: Exception) -> Refusal:
    match error:
        case Refusal():
            return error
        case ProtocolError():
            return Refusal(429, error.code, str(error))
        case _:
            return Refusal(400, "invalid_request", str(error))


async def _transcript(
    first: Recognized, pieces: AsyncGenerator[Recognized, None]
) -> tuple[Transcript, tuple[str, ...]]:
    """What was said, and notes about what could not be read."""
    events, last = list(first.events), first
    async for last in pieces:
        events += last.events
    return Transcript.of(events, duration=last.position), last.notes


class EventStream(StreamingResponse):
    """Server-sent events; whatever they need is released at the end, also if the client goes before it."""

    def __init__(self, events: AsyncIterator[str], needed: AsyncExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._needed: typing.Final = needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._needed:
            await super().__call__(scope, receive, send)


async def _deltas(first: Recognized, pieces: AsyncGenerator[Recognized, None]) -> AsyncIterator[str]:
    """Text as soon as it stands, and everything at the end; an error where it goes wrong in between."""
    growing, last = GrowingText(), first
    try:
        for delta in growing.push(first.events):
            yield _event("transcript.text.delta", delta=delta)
        async for last in pieces:
            for delta in growing.push(last.events):
                yield _event("transcript.text.delta", delta=delta)
    except (ProtocolError, AudioError, OptionError) as error:
        refusal = _refusal(error)
        yield _event("error", error={"message": str(refusal), "code": refusal.code, "param": None})
        return
    yield _event("transcript.text.done", text=growing.text, usage=_usage(last.position), **_noted(last.notes))


class GrowingText:
    """The text of a recording as it becomes sure: what was given is never taken back."""

    def __init__(self) -> None:
        self.text = ""
        self._utterance = ""

    def push(self, events: Sequence[Event]) -> list[str]:
        """The deltas of some events."""
        return [delta for event in events if (delta := self._delta(event))]

    def _delta(self, event: Event) -> str:
        match event:
            case Partial():
                return self._grow(event.readable.committed)
            case Final():
                delta = self._grow(event.readable.text)
                self._utterance = ""
                return delta
            case _:
                return ""

    def _grow(self, text: str) -> str:
        if not text.startswith(self._utterance) or text == self._utterance:
            return ""
        gap = " " if self.text and not self._utterance else ""
        delta = gap + text[len(self._utterance) :]
        self._utterance = text
        self.text += delta
        return delta


def _event(kind: str, **fields: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def _usage(duration: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(duration)}


def _noted(notes: Sequence[str]) -> dict[str, Any]:
    """A field of our own, which is there only where something could not be read."""
    return {"notes": list(notes)} if notes else {}


def _response(transcript: Transcript, options: Options, language: str, notes: Sequence[str]) -> Response:
    headers = {"X-Notes": "; ".join(notes)} if notes else {}
    match options.response_format:
        case "json":
            return JSONResponse({"text": transcript.formatted, "usage": _usage(transcript.duration), **_noted(notes)})
        case "verbose_json":
            return JSONResponse({**_verbose(transcript, language, words=options.words), **_noted(notes)})
        case "text":
            return PlainTextResponse(f"{transcript.formatted}\n", headers=headers)
        case "srt":
            return PlainTextResponse(transcript.srt(), headers=headers)
        case "vtt":
            return PlainTextResponse(transcript.vtt(), media_type="text/vtt", headers=headers)


def _by_channel(transcripts: Sequence[Transcript], options: Options, language: str) -> dict[str, Any]:
    said = [(final, channel) for channel, one in enumerate(transcripts) for final in one.utterances]
    said.sort(key=lambda entry: entry[0].start)
    whole = Transcript(tuple(final for final, _ in said), duration=max(one.duration for one in transcripts))
    channels = [{"channel": channel, "text": one.formatted} for channel, one in enumerate(transcripts)]
    if options.response_format == "json":
        return {"text": whole.formatted, "channels": channels, "usage": _usage(whole.duration)}
    verbose = _verbose(whole, language, words=options.words)
    for segment, (_, channel) in zip(verbose["segments"], said, strict=True):
        segment["channel"] = channel
    return {**verbose, "channels": channels}


def _verbose(transcript: Transcript, language: str, *, words: bool) -> dict[str, Any]:
    verbose = {
        "task": "transcribe",
        "language": language,
        "duration": round(transcript.duration, 3),
        "text": transcript.formatted,
        "segments": [_segment(index, final) for index, final in enumerate(transcript.utterances)],
        "usage": _usage(transcript.duration),
    }
    if words:
        verbose["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for final in transcript.utterances
            for word in final.readable.words
        ]
    return verbose


def _segment(index: int, final: Final) -> dict[str, Any]:
    """An utterance; the fields that only a whisper model has are there, because clients insist on them."""
    text = final.readable.text
    coded = text.encode()
    return {
        "id": index,
        "seek": 0,
        "start": round(final.start, 3),
        "end": round(final.end, 3),
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(max(final.confidence, 1e-6)), 6),
        "compression_ratio": round(len(coded) / len(zlib.compress(coded)), 3),
        "no_speech_prob": 0.0,
    }
