"""`POST /v1/listen`: a recorded file as the body, in the shape of Deepgram's prerecorded transcription."""

from __future__ import annotations

import hashlib
import typing
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response

from streaming_asr.errors import AudioError, OptionError
from streaming_asr.events import Alternative, Final, Word, text_of
from streaming_asr.protocol import ProtocolError, Start
from streaming_asr.text import FormatOptions
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.adapter.languages import main_language
from streaming_asr_server.adapter.recordings import Recording, channels_of, limited, on_disk, recognize
from streaming_asr_server.connection.serving import check_origin
from streaming_asr_server.protocols.deepgram import messages
from streaming_asr_server.protocols.deepgram.messages import Request
from streaming_asr_server.protocols.deepgram.options import MAXIMUM_CHANNELS, Listen, UnusableQueryError, parse
from streaming_asr_server.protocols.deepgram.route import authenticate, denial, describe, prepare
from streaming_asr_server.service import KeyMeter, Service

_SENTENCE_ENDS: typing.Final = (".", "?", "!")
_PARAGRAPH_SENTENCES: typing.Final = 5
_PARAGRAPH_PAUSE_SECONDS: typing.Final = 1.5


@dataclass(frozen=True, slots=True)
class Said:
    """What was said in a recording, by channel."""

    channels: Sequence[Sequence[Final]]
    duration: float
    sha256: str
    notes: Sequence[str] = ()
    """What of the recording could not be read."""


async def transcribe_recording(service: Service, request: HTTPRequest) -> Response:
    """Answer one recording. If the client goes away, the work ends at the next second of audio."""
    request_id = str(uuid.uuid4())
    try:
        response = await _answer(service, request, request_id)
    except Refusal as refusal:
        response = denial(refusal, request_id)
    except ProtocolError as error:
        response = denial(Refusal(429, error.code, str(error)), request_id)
    except (AudioError, OptionError, UnusableQueryError) as error:
        response = denial(Refusal(400, "bad_request", str(error)), request_id)
    service.metrics.requests.labels(str(response.status_code)).inc()
    return response


async def _answer(service: Service, request: HTTPRequest, request_id: str) -> Response:
    check_origin(service, request)
    principal = await authenticate(service, request)
    async with service.admission.stream(principal):
        listen = parse(request.query_params.multi_items())
        _refuse_addresses(request)
        digest = hashlib.sha256()
        pieces = _hashed(limited(request.stream(), service.settings.upload_bytes), digest)
        async with on_disk(pieces, "the audio") as recording:
            meter = service.meter(principal)
            start = await prepare(service, listen.model, _start(listen))
            said = await _recognize(service, request, recording, start, listen, meter, digest.hexdigest())
    return JSONResponse(answer(describe(service, request_id, start.model or ""), listen, said))


def _refuse_addresses(request: HTTPRequest) -> None:
    """A server that fetches what strangers name would reach what only it can reach."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        raise Refusal(400, "bad_request", "this server fetches no addresses; send the audio itself as the body")
    if "callback" in request.query_params:
        raise Refusal(400, "bad_request", "this server calls nobody back; the answer comes when the recording is done")


async def _hashed(pieces: AsyncIterable[bytes], digest: Any) -> AsyncIterator[bytes]:
    async for piece in pieces:
        digest.update(piece)
        yield piece


def _start(listen: Listen) -> Start:
    return Start(
        language=listen.language,
        hotwords=listen.hotwords(listen.keyterms),
        endpoint={} if listen.silence_ms is None else {"trailing_silence_ms": listen.silence_ms},
        partials=False,
        alternatives=listen.alternatives,
        formatted=listen.formatted is not False,
    )


async def _recognize(
    service: Service,
    request: HTTPRequest,
    recording: Recording,
    start: Start,
    listen: Listen,
    meter: KeyMeter,
    sha256: str,
) -> Said:
    formatted = listen.formatted if isinstance(listen.formatted, FormatOptions) else None
    wanted: list[int | None] = [None]
    if listen.audio.separate:
        count = min(await channels_of(recording, listen.audio), MAXIMUM_CHANNELS)
        wanted = list(range(max(count, 1)))
    channels, duration, notes = [], 0.0, tuple[str, ...]()
    for channel in wanted:
        finals: list[Final] = []
        pieces = recognize(
            service,
            recording,
            start,
            formatted=formatted,
            audio=listen.audio,
            meter=meter,
            gone=request.is_disconnected,
            channel=channel,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                finals += [event for event in piece.events if isinstance(event, Final)]
                duration, notes = max(duration, piece.position), piece.notes
        channels.append(finals)
    return Said(channels, duration, sha256, notes)


def answer(request: Request, listen: Listen, said: Said) -> dict[str, Any]:
    """The whole answer."""
    metadata = {
        "transaction_key": "deprecated",
        "request_id": request.request_id,
        "sha256": said.sha256,
        "created": request.created,
        "duration": messages.rounded(said.duration),
        "channels": len(said.channels),
        "models": [request.model_uuid],
        "model_info": {request.model_uuid: request.model_info()},
        **({"notes": list(said.notes)} if said.notes else {}),
    }
    channels = [
        {"alternatives": _alternatives(finals, listen), **messages.detected(main_language(finals))}
        for finals in said.channels
    ]
    results: dict[str, Any] = {"channels": channels}
    if listen.utterances:
        results["utterances"] = _utterances(said.channels)
    return {"metadata": metadata, "results": results}


def _alternatives(finals: Sequence[Final], listen: Listen) -> list[dict[str, Any]]:
    words = tuple(word for final in finals for word in final.readable.words)
    text = " ".join(final.readable.text for final in finals)
    best = messages.alternative(Alternative(text, 0.0, words))
    if listen.paragraphs:
        best["paragraphs"] = _paragraphs(words)
    return [best]


def _utterances(channels: Sequence[Sequence[Final]]) -> list[dict[str, Any]]:
    said = [(final, channel) for channel, finals in enumerate(channels) for final in finals]
    return [_utterance(final, channel) for final, channel in sorted(said, key=lambda entry: entry[0].start)]


def _utterance(final: Final, channel: int) -> dict[str, Any]:
    said = messages.alternative(Alternative(final.readable.text, 0.0, final.readable.words))
    return {
        "id": str(uuid.uuid4()),
        "start": messages.rounded(final.start),
        "end": messages.rounded(final.end),
        "confidence": said["confidence"],
        "channel": channel,
        "transcript": said["transcript"],
        "words": said["words"],
    }


def _paragraphs(words: Sequence[Word]) -> dict[str, Any]:
    paragraphs = _joined(_sentences(words))
    texts = [" ".join(text_of(sentence) for sentence in paragraph) for paragraph in paragraphs]
    return {
        "transcript": "\n" + "\n\n".join(texts) if texts else "",
        "paragraphs": [_paragraph(paragraph) for paragraph in paragraphs],
    }


def _paragraph(sentences: Sequence[Sequence[Word]]) -> dict[str, Any]:
    return {
        "sentences": [{"text": text_of(sentence), **_span(sentence)} for sentence in sentences],
        "num_words": sum(len(sentence) for sentence in sentences),
        **_span([word for sentence in sentences for word in sentence]),
    }


def _sentences(words: Sequence[Word]) -> list[list[Word]]:
    """Words up to each mark that ends a sentence, or to a long pause."""
    sentences: list[list[Word]] = [list(words[:1])] if words else []
    for before, word in pairwise(words):
        if before.text.endswith(_SENTENCE_ENDS) or _pause(before, word):
            sentences.append([])
        sentences[-1].append(word)
    return sentences


def _joined(sentences: Sequence[list[Word]]) -> list[list[list[Word]]]:
    """Sentences up to a long pause, five at most."""
    paragraphs: list[list[list[Word]]] = []
    for sentence in sentences:
        last = paragraphs[-1] if paragraphs else None
        if last is None or len(last) >= _PARAGRAPH_SENTENCES or _pause(last[-1][-1], sentence[0]):
            paragraphs.append([])
        paragraphs[-1].append(sentence)
    return paragraphs


def _pause(before: Word, behind: Word) -> bool:
    return behind.start - before.end >= _PARAGRAPH_PAUSE_SECONDS


def _span(words: Sequence[Word]) -> dict[str, float]:
    return {"start": messages.rounded(words[0].start), "end": messages.rounded(words[-1].end)}
