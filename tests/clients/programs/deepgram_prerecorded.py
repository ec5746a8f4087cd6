"""deepgram-sdk 7.x, a recorded file: HOST:PORT KEY WAV -> one JSON object."""

import sys
from pathlib import Path

from deepgram import DeepgramClient, DeepgramClientEnvironment

server, key, file = sys.argv[1:]
http, ws = f"http://{server}", f"ws://{server}"
here = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
listen = DeepgramClient(api_key=key, environment=here).listen.v1
answer = listen.media.transcribe_file(
    request=Path(file).read_bytes(), model="nova-3", smart_format=True, utterances=True, paragraphs=True
)
print(answer.json())
