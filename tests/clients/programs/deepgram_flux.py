"""deepgram-sdk 7.x, `listen.v2`: HOST:PORT KEY WAV OPTIONS -> one JSON object per line."""

import asyncio
import json
import sys
import wave

from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType

server, key, file, options = sys.argv[1:]
http, ws = f"http://{server}", f"ws://{server}"
here = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)


def tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def heard(message: object) -> None:
    tell(python=type(message).__name__, **json.loads(message.json()))  # type: ignore[attr-defined]


async def main() -> None:
    with wave.open(file) as recording:
        rate, audio = recording.getframerate(), recording.readframes(recording.getnframes())
    asked = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": rate, **json.loads(options)}
    try:
        async with AsyncDeepgramClient(api_key=key, environment=here).listen.v2.connect(**asked) as live:
            live.on(EventType.MESSAGE, heard)
            live.on(EventType.ERROR, lambda error: tell(kind="error", message=str(error)))
            live.on(EventType.CLOSE, lambda _: tell(kind="closed"))
            listening = asyncio.create_task(live.start_listening())
            await live.send_configure({"type": "Configure", "keyterms": ["Streamwell"]})
            for start in range(0, len(audio), 2_560):
                await live.send_media(audio[start : start + 2_560])
                await asyncio.sleep(0.005)
            await live.send_close_stream()
            await listening
    except ApiError as error:
        tell(kind="refused", status=error.status_code, body=str(error.body))


asyncio.run(main())
