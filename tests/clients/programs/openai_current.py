"""openai 3.x, GA Realtime: HOST:PORT KEY RAW24K manual|vad -> one JSON object per line."""

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
    client = AsyncOpenAI(base_url=f"http://{server}/v1", api_key=key, max_retries=0)
    secret = await client.realtime.client_secrets.create(session={"type": "transcription"})
    browser = AsyncOpenAI(base_url=f"http://{server}/v1", api_key=secret.value)
    async with browser.realtime.connect(extra_query={"intent": "transcription"}, max_retries=0) as live:
        tell(await live.recv())
        detection = None if mode == "manual" else {"type": "server_vad", "silence_duration_ms": 500}
        session = {"type": "transcription", "audio": {"input": {"turn_detection": detection}}}
        await live.session.update(session=session)
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
