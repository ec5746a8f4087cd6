"""A recording through Deepgram's own SDK (7.x), with this server in Deepgram's place.

`pip install deepgram-sdk`, `streaming-asr serve`, then `python deepgram_sdk.py FILE [HOST:PORT [KEY]]`.
"""

import sys
from pathlib import Path

from deepgram import DeepgramClient, DeepgramClientEnvironment

file, server, key = (*sys.argv[1:], *("127.0.0.1:8765", "no key needed")[len(sys.argv) - 2 :])
ws, http = f"ws://{server}", f"http://{server}"
here = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
audio = Path(file).read_bytes()

with DeepgramClient(api_key=key, environment=here).listen.v1.connect(model="nova-3") as live:
    for start in range(0, len(audio), 8_000):
        live.send_media(audio[start : start + 8_000])
    live.send_close_stream()
    for message in live:
        if message.type == "Results":
            print(message.channel.alternatives[0].transcript)
