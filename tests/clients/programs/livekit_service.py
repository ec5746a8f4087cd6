"""livekit-plugins-deepgram: HOST:PORT KEY WAV [flux] -> one JSON object per line."""

import asyncio
import importlib
import json
import logging
import sys
import wave

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.plugins import deepgram

server, key, file, *kind = sys.argv[1:]
logging.disable(logging.CRITICAL)


def tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


async def main() -> None:
    with wave.open(file) as recording:
        rate, audio = recording.getframerate(), recording.readframes(recording.getnframes())
    async with importlib.import_module("aiohttp").ClientSession() as http:
        given = {"api_key": key, "http_session": http, "sample_rate": rate}
        if kind == ["flux"]:
            service = deepgram.STTv2(base_url=f"http://{server}/v2/listen", eager_eot_threshold=0.5, **given)
        else:
            service = deepgram.STT(base_url=f"http://{server}/v1/listen", utterance_end_ms=1_000, **given)
        stream = service.stream(conn_options=APIConnectOptions(max_retry=0))
        speaking = asyncio.create_task(speak(stream, audio, rate))
        try:
            async for event in stream:
                text = event.alternatives[0].text if event.alternatives else ""
                words = [word.start_time for word in event.alternatives[0].words or []] if event.alternatives else []
                tell(kind=str(event.type.value), text=text, starts=words, request=event.request_id)
        except APIError as error:
            tell(kind="error", name=type(error).__name__, status=getattr(error, "status_code", None))
            speaking.cancel()
        await asyncio.wait({speaking})
        await stream.aclose()
    tell(kind="finished")


async def speak(stream: object, audio: bytes, rate: int) -> None:
    for start in range(0, len(audio), rate // 25):
        piece = audio[start : start + rate // 25]
        stream.push_frame(rtc.AudioFrame(piece, rate, 1, len(piece) // 2))  # type: ignore[attr-defined]
        await asyncio.sleep(0.004)
    stream.flush()  # type: ignore[attr-defined]
    stream.end_input()  # type: ignore[attr-defined]


asyncio.run(main())
