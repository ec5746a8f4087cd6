"""Names that a model does not know, favoured: python examples/hotwords.py talk.wav machine:12 screen

The second pass shows what the hotwords changed.
"""

import sys
from collections.abc import Mapping

from streaming_asr import Final, Recognizer
from streaming_asr.audio.sources import FileSource


def said(recognizer: Recognizer, path: str, hotwords: Mapping[str, float]) -> str:
    with FileSource(path) as source:
        stream = recognizer.stream(sample_rate=source.sample_rate, channels=source.channels, hotwords=hotwords)
        if stream.hotwords.unspellable:
            print("cannot be spelled:", ", ".join(stream.hotwords.unspellable), file=sys.stderr)
        events = [event for piece in source for event in stream.push(piece)] + stream.finish()
    return " ".join(event.text for event in events if isinstance(event, Final))


def main(path: str, *arguments: str) -> None:
    pairs = [argument.partition(":") for argument in arguments]
    hotwords = {word: float(weight or 10) for word, _, weight in pairs}
    with Recognizer.load() as recognizer:
        print("without:", said(recognizer, path, {}))
        print("with:   ", said(recognizer, path, hotwords))


if __name__ == "__main__":
    main(*sys.argv[1:])
