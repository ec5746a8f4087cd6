"""`POST /v1/audio/transcriptions`: recorded files, in the shape of OpenAI's REST interface."""

from __future__ import annotations

import asyncio
import logging
import math
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeAlias, get_args

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message

from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.samples import Samples, seconds
from streaming_asr.audio.sources import FileSource
from streaming_asr.errors import AudioError, OptionError
from streaming_asr.events import Event
from streaming_asr.events import Final as FinalEvent
from streaming_asr.exports import export
from streaming_asr.protocol import ProtocolError, Start
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.serving import caller, check_origin, refusal_response
from streaming_asr_server.service import KeyMeter, Service

logger = logging.getLogger(__name__)

ResponseFormat: TypeAlias = Literal["json", "verbose_json", "text", "srt", "vtt"]

_PIECE_MS: Final = 1_000
_MAXIMUM_FIELDS: Final = 32


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for; fields that this server has no use for (`model`, `prompt`, …) are passed over."""

    response_format: ResponseFormat
    language: str | None
    words: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a file says; `duration` in seconds."""

    finals: Sequence[FinalEvent]
    duration: float

    @property
    def text(self) -> str:
        return " ".join(final.text for final in self.finals)


async def transcribe(service: Service, request: Request) -> Response:
    """Answer one upload. If the client goes away, the work ends at the next second of audio."""
    try:
        check_origin(service, request)
        principal = caller(service, request)
        with service.admission.stream(principal):
            async with _upload(request, service.settings.upload_bytes) as (form, path):
                wish = _wish(form)
                transcript = await _recognize(service, request, path, wish, service.meter(principal))
        response = _response(transcript, wish)
    except Refusal as refusal:
        response = refusal_response(refusal)
    except ProtocolError as error:
        response = _error(429, str(error), error.code)
    except (AudioError, OptionError) as error:
        response = _error(400, str(error), "invalid_request")
    service.metrics.requests.labels(str(response.status_code)).inc()
    return response


@asynccontextmanager
async def _upload(request: Request, limit: int) -> AsyncIterator[tuple[FormData, Path]]:
    """The form, and its file on disk for as long as the context lasts; memory does not grow with the file."""
    limited = Request(request.scope, _limited(request, limit))
    try:
        form = await limited.form(max_files=1, max_fields=_MAXIMUM_FIELDS)
    except HTTPException as error:
        raise OptionError(f"the form cannot be read: {error.detail}") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise OptionError("the form has no file in its field 'file'")
        with TemporaryDirectory(prefix="streaming-asr-") as folder:
            path = Path(folder) / f"upload{Path(file.filename or '').suffix[:10]}"
            await asyncio.to_thread(_copy, file, path)
            yield form, path
    finally:
        await form.close()


def _copy(file: UploadFile, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(file.file, target)


def _limited(request: Request, limit: int) -> Any:
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


def _wish(form: FormData) -> Wish:
    response_format = str(form.get("response_format") or "json")
    if response_format not in get_args(ResponseFormat):
        wanted = ", ".join(get_args(ResponseFormat))
        raise OptionError(f"response_format is {response_format!r:.60}; it must be one of {wanted}")
    if str(form.get("stream", "false")).lower() in ("true", "1"):
        raise OptionError("stream is true; this route answers when the whole file is done, /v1/stream streams")
    granularities = [str(value) for value in form.getlist("timestamp_granularities[]")]
    language = str(form.get("language") or "") or None
    return Wish(response_format, language, "word" in granularities)  # type: ignore[arg-type]


async def _recognize(service: Service, request: Request, path: Path, wish: Wish, meter: KeyMeter) -> Transcript:
    """Run a file through a stream of its own, as fast as it goes."""
    events: list[Event] = []
    position = 0
    source = await asyncio.to_thread(FileSource, path, piece_ms=_PIECE_MS)
    with source:
        stream = service.recognition.open(Start(language=wish.language, partials=False))
        try:
            pieces = _decoded(source)
            while (samples := await asyncio.to_thread(next, pieces, None)) is not None:
                if await request.is_disconnected():
                    raise OptionError("the client has gone")
                events += await stream.push(samples)
                position += len(samples)
                _check_length(seconds(position), service)
                meter.audio(seconds(len(samples)))
            events += await stream.finish()
        finally:
            stream.close()
    for event in events:
        meter.event(event)
    finals = [event for event in events if isinstance(event, FinalEvent)]
    return Transcript(finals, seconds(position))


def _decoded(source: FileSource) -> Iterator[Samples]:
    """A file at 16 kHz, a second at a time."""
    audio = AudioInput(sample_rate=source.sample_rate, channels=source.channels)
    for piece in source:
        yield audio.push(piece)
    yield audio.finish()


def _check_length(length: float, service: Service) -> None:
    if length > service.settings.stream_seconds:
        raise OptionError(f"the recording is longer than {service.settings.stream_seconds:g} s")


def _response(transcript: Transcript, wish: Wish) -> Response:
    match wish.response_format:
        case "json":
            usage = {"type": "duration", "seconds": math.ceil(transcript.duration)}
            return JSONResponse({"text": transcript.text, "usage": usage})
        case "verbose_json":
            return JSONResponse(_verbose(transcript, wish))
        case "text":
            return PlainTextResponse(f"{transcript.text}\n")
        case "srt":
            return PlainTextResponse(export(transcript.finals, "srt"))
        case "vtt":
            return PlainTextResponse(export(transcript.finals, "vtt"), media_type="text/vtt")


def _verbose(transcript: Transcript, wish: Wish) -> dict[str, Any]:
    segments = [_segment(index, final) for index, final in enumerate(transcript.finals)]
    verbose = {
        "task": "transcribe",
        "language": wish.language or "",
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": segments,
        "usage": {"type": "duration", "seconds": math.ceil(transcript.duration)},
    }
    if wish.words:
        verbose["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for final in transcript.finals
            for word in final.words
        ]
    return verbose


def _segment(index: int, final: FinalEvent) -> dict[str, Any]:
    """An utterance; the fields that only a whisper model has are there, because clients insist on them."""
    text = final.text.encode()
    return {
        "id": index,
        "seek": 0,
        "start": round(final.start, 3),
        "end": round(final.end, 3),
        "text": final.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(max(final.confidence, 1e-6)), 6),
        "compression_ratio": round(len(text) / len(zlib.compress(text)), 3),
        "no_speech_prob": 0.0,
    }


def _error(status: int, message: str, code: str) -> Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return JSONResponse(body, status_code=status)
