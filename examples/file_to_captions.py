"""A recording to subtitles: python examples/file_to_captions.py talk.mp3 > talk.srt"""

import sys

from streaming_asr import Final, Recognizer
from streaming_asr.audio.sources import FileSource
from streaming_asr.exports import export


def main(path: str) -> None:
    finals: list[Final] = []
    with Recognizer.load() as recognizer, FileSource(path) as source:
        stream = recognizer.stream(sample_rate=source.sample_rate, channels=source.channels)
        for piece in source:
            finals += [event for event in stream.push(piece) if isinstance(event, Final)]
        finals += [event for event in stream.finish() if isinstance(event, Final)]
    print(export(finals, "srt"), end="")


if __name__ == "__main__":
    main(sys.argv[1])
