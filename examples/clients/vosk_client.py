"""A recording through Vosk's websocket protocol, send and receive in turns, as all its clients do.

`pip install websockets`, `streaming-asr serve --vosk-port 2700`, then `python vosk_client.py FILE.wav [URL]`.
"""

import json
import sys
import wave

from websockets.sync.client import connect

file, url = (*sys.argv[1:], "ws://127.0.0.1:2700")[:2]

with wave.open(file) as recording, connect(url) as server:
    server.send(json.dumps({"config": {"sample_rate": recording.getframerate()}}))
    while piece := recording.readframes(recording.getframerate() // 5):
        server.send(piece)
        print(json.loads(server.recv()).get("text", ""))
    server.send('{"eof" : 1}')
    print(json.loads(server.recv())["text"])
