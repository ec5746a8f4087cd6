"""A voice agent of Pipecat (1.x) that hears by this server, in Deepgram's place.

`pip install 'pipecat-ai[deepgram]'`, `streaming-asr serve`, then `python pipecat_agent.py FILE.wav [HOST:PORT [KEY]]`.

The recording stands for the caller's microphone: in a real agent a transport's input is the head of the pipeline. The
agent only repeats what it heard; a language model and a voice follow in its place.
"""

import asyncio
import sys
import wave

from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, TextFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.workers.runner import WorkerRunner

file, server, key = (*sys.argv[1:], *("127.0.0.1:8765", "no key needed")[len(sys.argv) - 2 :])


class Agent(FrameProcessor):  # type: ignore[misc]
    """Answers each thing that the caller said; the answer goes down the pipeline, to the voice."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            print("caller:", frame.text, flush=True)
            await self.push_frame(TextFrame(f"You said: {frame.text}."))


async def main() -> None:
    with wave.open(file) as recording:
        rate, audio = recording.getframerate(), recording.readframes(recording.getnframes())
    ears = DeepgramSTTService(api_key=key, base_url=f"ws://{server}")
    worker = PipelineWorker(Pipeline([ears, Agent()]), params=PipelineParams(audio_in_sample_rate=rate))

    async def speak(*_: object) -> None:
        piece = 2 * rate // 50
        silence = bytes(2 * rate)  # behind it the last sentence ends
        for start in range(0, len(audio) + len(silence), piece):
            await worker.queue_frame(InputAudioRawFrame((audio + silence)[start : start + piece], rate, 1))
            await asyncio.sleep(0.02)
        await worker.queue_frame(EndFrame())

    worker.add_event_handler("on_pipeline_started", speak)
    runner = WorkerRunner()
    await runner.add_workers(worker)
    await runner.run()


asyncio.run(main())
