"""deepgram-sdk 7.x, asynchronous: HOST:PORT KEY WAV OPTIONS -> one JSON object per line."""

import asyncio
import json
import sys
import wave

from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.listen.v1.types import ListenV1Configure

server, key, file, options = sys.argv[1:]
http, ws = f"http://{server}", f"ws://{server}"
here = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)


def tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def heard(message: object) -> None:
    tell(**json.loads(message.json()))  # type: ignore[attr-defined]


async def main() -> None:
    with wave.open(file) as recording:
        rate, audio = recording.getframerate(), recording.readframes(recording.getnframes())
    asked = {"model": "nova-3", "encoding": "linear16", "sample_rate": rate, **json.loads(options)}
    try:
        async with AsyncDeepgramClient(api_key=key, environment=here).listen.v1.connect(**asked) as live:
            live.on(EventType.MESSAGE, heard)
            live.on(EventType.ERROR, lambda error: tell(kind="error", message=str(error)))
            live.on(EventType.CLOSE, lambda _: tell(kind="closed"))
            listening = asyncio.create_task(live.start_listening())
            for start in range(0, len(audio), 3_200):
                await live.send_media(audio[start : start + 3_200])
                await asyncio.sleep(0.005)
            await live.send_keep_alive()
            await live.send_configure(ListenV1Configure(features={"numerals": True}))
            await live.send_finalize()
            await live.send_close_stream()
            await listening
    except ApiError as error:
        tell(kind="refused", status=error.status_code, body=str(error.body))


asyncio.run(main())
