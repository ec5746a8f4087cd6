"""wyoming's AsyncClient: URI WAV REQUEST -> one JSON object per event that the server sends."""

import asyncio
import json
import sys
import wave

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import wav_to_chunks
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.info import Describe, Info

uri, file, request = sys.argv[1:]


def tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


async def main() -> None:
    async with AsyncClient.from_uri(uri, connect_timeout=10, read_timeout=60) as client:
        await client.write_event(Describe().event())
        described = await client.read_event()
        info = Info.from_event(described)
        tell(kind="info", programs=[program.name for program in info.asr], languages=info.asr[0].models[0].languages)
        listening = asyncio.create_task(listen(client))
        await client.write_event(Transcribe(**json.loads(request)).event())
        with wave.open(file) as recording:
            for chunk in wav_to_chunks(recording, 1_024, start_event=True, stop_event=True):
                if listening.done():
                    break
                await client.write_event(chunk.event())
        await listening


async def listen(client: AsyncClient) -> None:
    while (event := await client.read_event()) is not None:
        tell(kind=event.type, **event.data)
        if Transcript.is_type(event.type) or Error.is_type(event.type):
            return


asyncio.run(main())
