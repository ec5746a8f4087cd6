"""What is said in a call, while it is said.

The call's TwiML has `<Start><Stream url="wss://HOST/v1/twilio" track="both_tracks" /></Start>`.
`pip install websockets`, `streaming-asr serve`, then `python twilio_events.py CALL_SID [URL [KEY]]`.
"""

import json
import sys

from websockets.sync.client import connect

call, url, key = (*sys.argv[1:], *("ws://127.0.0.1:8765", "no key needed")[len(sys.argv) - 2 :])

with connect(f"{url}/v1/twilio/{call}/events", additional_headers={"Authorization": f"Bearer {key}"}) as server:
    for message in map(json.loads, server):
        if message["type"] == "final":
            print(f"{message['track']}: {message['text']}")
