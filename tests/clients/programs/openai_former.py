"""openai 1.99, beta Realtime: HOST:PORT KEY RAW24K manual|vad -> one JSON object per line."""

import asyncio
import base64
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI

server, key, file, mode = sys.argv[1:]
audio = Path(file).read_bytes()


def tell(event: object) -> None:
    print(event.to_json(indent=None), flush=True)  # type: ignore[attr-defined]


async def main() -> None:
    client = AsyncOpenAI(
        base_url=f"http://{server}/v1", websocket_base_url=f"ws://{server}/v1", api_key=key, max_retries=0
    )
    session = await client.beta.realtime.transcription_sessions.create()
    browser = AsyncOpenAI(websocket_base_url=f"ws://{server}/v1", api_key=session.client_secret.value)
    async with browser.beta.realtime.connect(
        model="gpt-4o-transcribe", extra_query={"intent": "transcription"}
    ) as live:
        tell(await live.recv())
        detection = {"type": "server_vad", "silence_duration_ms": 500}
        update = {"input_audio_format": "pcm16", "turn_detection": detection} if mode == "vad" else {}
        await live.transcription_session.update(session=update)
        tell(await live.recv())
        sending = asyncio.create_task(send(live, audio))
        async for event in live:
            tell(event)
            if event.type in ("error", "input_audio_buffer.cleared"):
                break
        await sending


async def send(live: object, audio: bytes) -> None:
    for start in range(0, len(audio), 4_800):
        await live.input_audio_buffer.append(audio=base64.b64encode(audio[start : start + 4_800]).decode())  # type: ignore[attr-defined]
        await asyncio.sleep(0.005)
    await live.input_audio_buffer.commit()  # type: ignore[attr-defined]
    # Answered in its turn, so that its answer says that everything before was told.
    await live.input_audio_buffer.clear()  # type: ignore[attr-defined]


try:
    asyncio.run(main())
except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at its kind
    response = getattr(error, "response", None)
    print(
        json.dumps({"type": "refused", "class": type(error).__name__, "status": getattr(response, "status_code", None)})
    )
