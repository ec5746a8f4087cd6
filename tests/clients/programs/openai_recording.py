"""openai, a recorded file: HOST:PORT KEY WAV -> models, text, verbose, events of a stream: a JSON object each."""

import json
import sys
from pathlib import Path

from openai import OpenAI

server, key, file = sys.argv[1:]
client = OpenAI(base_url=f"http://{server}/v1", api_key=key, max_retries=0)
names = [model.id for model in client.models.list()]
print(json.dumps({"models": names, "retrieved": client.models.retrieve(names[0]).id}))
transcriptions = client.audio.transcriptions
print(transcriptions.create(model=names[0], file=Path(file)).to_json(indent=None))
verbose = transcriptions.create(
    model=names[0], file=Path(file), response_format="verbose_json", timestamp_granularities=["word", "segment"]
)
print(verbose.to_json(indent=None))
for event in transcriptions.create(model=names[0], file=Path(file), stream=True):
    print(event.to_json(indent=None))
