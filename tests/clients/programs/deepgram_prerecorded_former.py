"""deepgram-sdk 3.x, a recorded file: HOST:PORT KEY WAV -> one JSON object."""

import sys
from pathlib import Path

from deepgram import DeepgramClient, DeepgramClientOptions, PrerecordedOptions

server, key, file = sys.argv[1:]
client = DeepgramClient(key, DeepgramClientOptions(url=f"http://{server}"))
options = PrerecordedOptions(model="nova-2", smart_format=True, utterances=True, paragraphs=True)
answer = client.listen.rest.v("1").transcribe_file({"buffer": Path(file).read_bytes()}, options)
print(answer.to_json(indent=None))
