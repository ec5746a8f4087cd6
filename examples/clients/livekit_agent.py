"""A voice agent of LiveKit Agents (1.x) that hears by this server, in Deepgram's place.

`pip install livekit-plugins-deepgram`, `streaming-asr serve`,
then `python livekit_agent.py FILE.wav [HOST:PORT [KEY]]`.

The recording stands for the caller: in a real agent the session is started with `room=`, and a room brings the audio.
The agent only repeats what it heard; give the session an `llm` and a `tts`, and the agent instructions, in its place.
"""

import asyncio
import sys
import wave

import aiohttp
from livekit import rtc
from livekit.agents import Agent, AgentSession, ChatContext, ChatMessage, StopResponse
from livekit.agents.voice.io import AudioInput
from livekit.plugins import deepgram

file, server, key = (*sys.argv[1:], *("127.0.0.1:8765", "no key needed")[len(sys.argv) - 2 :])


class Recording(AudioInput):  # type: ignore[misc]
    """A WAV file at the pace of speech, with two seconds of silence behind it, so that its last sentence ends."""

    def __init__(self, path: str) -> None:
        super().__init__(label=path)
        with wave.open(path) as recording:
            self.rate = recording.getframerate()
            self.audio = recording.readframes(recording.getnframes()) + bytes(4 * self.rate)
        self.over = asyncio.Event()

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.02)
        piece, self.audio = self.audio[: self.rate // 25], self.audio[self.rate // 25 :]
        if not piece:
            self.over.set()
            raise StopAsyncIteration
        return rtc.AudioFrame(piece, self.rate, 1, len(piece) // 2)


class Repeater(Agent):  # type: ignore[misc]
    """Tells what the caller said when it is their turn no more."""

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        print("caller:", new_message.text_content, flush=True)
        raise StopResponse  # no language model here that could answer


async def main() -> None:
    recording = Recording(file)
    async with aiohttp.ClientSession() as http:
        ears = deepgram.STT(
            api_key=key, base_url=f"http://{server}/v1/listen", http_session=http, sample_rate=recording.rate
        )
        session = AgentSession(stt=ears, vad=None, turn_handling={"turn_detection": "stt"})
        session.input.audio = recording
        await session.start(agent=Repeater(instructions="Repeat what the caller says."))
        await recording.over.wait()
        await session.aclose()


asyncio.run(main())
