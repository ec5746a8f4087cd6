"""A recording through OpenAI's own SDK (3.x), with this server in OpenAI's place.

`pip install openai[realtime] soundfile soxr`, `streaming-asr serve`,
then `python openai_sdk.py FILE [HOST:PORT [KEY]]`.
"""

import asyncio
import base64
import sys

import soundfile
import soxr
from openai import AsyncOpenAI

file, server, key = (*sys.argv[1:], *("127.0.0.1:8765", "no key needed")[len(sys.argv) - 2 :])
samples, rate = soundfile.read(file, dtype="int16")
audio = soxr.resample(samples, rate, 24_000).tobytes()


async def main() -> None:
    client = AsyncOpenAI(base_url=f"http://{server}/v1", api_key=key)
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as live:
        await live.session.update(session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
        for start in range(0, len(audio), 48_000):
            await live.input_audio_buffer.append(audio=base64.b64encode(audio[start : start + 48_000]).decode())
        await live.input_audio_buffer.commit()
        async for event in live:
            if event.type == "conversation.item.input_audio_transcription.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "conversation.item.input_audio_transcription.completed":
                print()
                return


asyncio.run(main())
