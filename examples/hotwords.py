"""Names that a model does not know, favoured: python examples/hotwords.py talk.wav machine:12 screen

The second pass shows what the hotwords changed.
"""

import sys

from streaming_asr import Recognizer


def main(path: str, *arguments: str) -> None:
    pairs = [argument.partition(":") for argument in arguments]
    hotwords = {word: float(weight or 10) for word, _, weight in pairs}
    with Recognizer.load() as recognizer:
        print("without:", recognizer.transcribe(path).text)
        print("with:   ", recognizer.transcribe(path, hotwords=hotwords).text)
        taken = recognizer.stream(sample_rate=16_000, hotwords=hotwords).hotwords
    if taken.unspellable:
        print("cannot be spelled:", ", ".join(taken.unspellable), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
