"""openai, one recording in several languages: HOST:PORT KEY WAV CHOICES -> the models, then an answer to each."""

import json
import sys
from pathlib import Path

from openai import APIStatusError, OpenAI

server, key, file, choices = sys.argv[1:]
client = OpenAI(base_url=f"http://{server}/v1", api_key=key, max_retries=0)
print(json.dumps({"models": [model.id for model in client.models.list()]}))
for choice in json.loads(choices):
    try:
        answer = client.audio.transcriptions.create(file=Path(file), response_format="verbose_json", **choice)
        print(json.dumps({"segments": [segment.text for segment in answer.segments], "language": answer.language}))
    except APIStatusError as error:
        print(json.dumps({"status": error.status_code, "message": error.message}))
