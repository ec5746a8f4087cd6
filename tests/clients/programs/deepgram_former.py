"""deepgram-sdk 3.x, with its threads: HOST:PORT KEY WAV OPTIONS -> one JSON object per line."""

import json
import sys
import threading
import time
import wave

from deepgram import DeepgramClient, DeepgramClientOptions, LiveTranscriptionEvents

server, key, file, options = sys.argv[1:]


def tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


flushed = threading.Event()


def heard(*_: object, **fields: object) -> None:
    if getattr(fields.get("result"), "from_finalize", False):
        flushed.set()
    for name in ("result", "metadata", "speech_started", "utterance_end", "error", "unhandled", "close"):
        if name in fields:
            tell(kind=name, **json.loads(fields[name].to_json()))  # type: ignore[attr-defined]


def main() -> None:
    with wave.open(file) as recording:
        rate, audio = recording.getframerate(), recording.readframes(recording.getnframes())
    settings = DeepgramClientOptions(url=f"http://{server}", options={"keepalive": "true"})
    live = DeepgramClient(key, settings).listen.websocket.v("1")
    for event in (
        LiveTranscriptionEvents.Transcript,
        LiveTranscriptionEvents.Metadata,
        LiveTranscriptionEvents.SpeechStarted,
        LiveTranscriptionEvents.UtteranceEnd,
        LiveTranscriptionEvents.Error,
        LiveTranscriptionEvents.Unhandled,
        LiveTranscriptionEvents.Close,
    ):
        live.on(event, heard)
    if not live.start({"model": "nova-2", "encoding": "linear16", "sample_rate": rate, **json.loads(options)}):
        tell(kind="refused")
        return
    for start in range(0, len(audio), 3_200):
        live.send(audio[start : start + 3_200])
        time.sleep(0.005)
    live.finalize()
    flushed.wait(60)  # finish() hangs up half a second after it asked for the rest, whether it came or not
    live.finish()
    tell(kind="finished")


main()
