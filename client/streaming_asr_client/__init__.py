"""The client of the native protocol; it needs numpy and websockets, no torch.

```python
async with connect("ws://localhost:8765", sample_rate=48000) as stream:
    await stream.send(samples)
    async for event in stream:
        ...
```
"""

from streaming_asr_client.backoff import Backoff
from streaming_asr_client.connection import ClientOptions, StreamConnection, connect
from streaming_asr_client.errors import ConnectionLostError, RefusedError, StreamFailedError
from streaming_asr_client.remote import RemoteRecognizer, RemoteStream

__all__ = [
    "Backoff",
    "ClientOptions",
    "ConnectionLostError",
    "RefusedError",
    "RemoteRecognizer",
    "RemoteStream",
    "StreamConnection",
    "StreamFailedError",
    "connect",
]
