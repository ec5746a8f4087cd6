"""A recording through Wyoming's own client, as Home Assistant uses it.

`pip install wyoming`, `streaming-asr serve --wyoming-port 10300`, then `python wyoming_client.py FILE.wav [URI]`.
"""

import asyncio
import sys
import wave

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import wav_to_chunks
from wyoming.client import AsyncClient

file, uri = (*sys.argv[1:], "tcp://127.0.0.1:10300")[:2]


async def main() -> None:
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Transcribe(language="en").event())
        with wave.open(file) as recording:
            for chunk in wav_to_chunks(recording, 1_024, start_event=True, stop_event=True):
                await client.write_event(chunk.event())
        while (event := await client.read_event()) is not None:
            if Transcript.is_type(event.type):
                print(Transcript.from_event(event).text)
                return


asyncio.run(main())
