"""A push-to-talk command: the program, not the silence, says when an utterance is over.

    python examples/custom_endpoint.py talk.wav 2.5 7.0

All endpoint rules are switched off and so is the gate; `finalize` ends an utterance at each of these seconds.
"""

import sys
from collections.abc import Sequence

from streaming_asr import EndpointOptions, Event, FileSource, Final, GateOptions, Recognizer

NEVER = EndpointOptions(no_words_ms=None, trailing_silence_ms=None, maximum_length_ms=60_000)


def show(events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, Final):
            print(f"[{event.reason}] {event.text}", flush=True)


def main(path: str, *releases: str) -> None:
    waiting = sorted(map(float, releases))
    with Recognizer.load() as recognizer, FileSource(path) as source:
        stream = recognizer.stream(
            sample_rate=source.sample_rate,
            channels=source.channels,
            endpoint=NEVER,
            gate=GateOptions(enabled=False),
        )
        seconds = 0.0
        for piece in source:
            show(stream.push(piece))
            seconds += len(piece) / source.sample_rate
            if waiting and seconds >= waiting[0]:
                waiting.pop(0)
                show(stream.finalize())
        show(stream.finish())


if __name__ == "__main__":
    main(*sys.argv[1:])
