"""pipecat's Deepgram and OpenAI services: HOST:PORT KEY WAV deepgram|flux|openai PAUSES -> one JSON object per line.

At each pause (a position in samples) the local VAD reports that the user stopped speaking, as in a voice agent; then
the service asks the server for what it has.
"""

import asyncio
import json
import sys
import wave

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.services.deepgram.flux.stt import DeepgramFluxSTTService
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.workers.runner import WorkerRunner

server, key, file, kind, pauses = sys.argv[1:]
stops = json.loads(pauses)


def tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def service() -> object:
    if kind == "deepgram":
        return DeepgramSTTService(api_key=key, base_url=f"ws://{server}")
    if kind == "flux":
        return DeepgramFluxSTTService(api_key=key, url=f"ws://{server}/v2/listen")
    return OpenAIRealtimeSTTService(api_key=key, base_url=f"ws://{server}/v1/realtime")


async def main() -> None:
    with wave.open(file) as recording:
        rate, audio = recording.getframerate(), recording.readframes(recording.getnframes())
    worker = PipelineWorker(Pipeline([service()]), params=PipelineParams(audio_in_sample_rate=rate))
    worker.set_reached_downstream_filter((TranscriptionFrame, InterimTranscriptionFrame))
    worker.set_reached_upstream_filter((ErrorFrame,))
    started, finals, failed = asyncio.Event(), asyncio.Queue[None](), asyncio.Event()

    async def down(_: object, frame: object) -> None:
        final = isinstance(frame, TranscriptionFrame)
        told = {"from_finalize": frame.result.from_finalize} if final and kind == "deepgram" else {}  # type: ignore[attr-defined]
        tell(kind="final" if final else "interim", text=frame.text, finalized=getattr(frame, "finalized", None), **told)  # type: ignore[attr-defined]
        if final:
            finals.put_nowait(None)

    async def up(_: object, frame: object) -> None:
        tell(kind="error", message=frame.error)  # type: ignore[attr-defined]
        failed.set()

    async def begun(*_: object) -> None:
        started.set()

    worker.add_event_handler("on_frame_reached_downstream", down)
    worker.add_event_handler("on_frame_reached_upstream", up)
    worker.add_event_handler("on_pipeline_started", begun)

    async def speak() -> None:
        await asyncio.wait_for(started.wait(), 20)
        position = 0
        for stop in [*stops, len(audio) // 2]:
            await worker.queue_frame(VADUserStartedSpeakingFrame())
            while position < stop and not failed.is_set():
                end = min(position + rate // 50, stop)
                await worker.queue_frame(InputAudioRawFrame(audio[2 * position : 2 * end], rate, 1))
                position = end
                await asyncio.sleep(0.002)
            if stop in stops:
                await worker.queue_frame(VADUserStoppedSpeakingFrame())
                waiting = {asyncio.ensure_future(finals.get()), asyncio.ensure_future(failed.wait())}
                _, rest = await asyncio.wait(waiting, timeout=30, return_when=asyncio.FIRST_COMPLETED)
                for task in rest:
                    task.cancel()
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), speak())
    tell(kind="finished")


asyncio.run(main())
