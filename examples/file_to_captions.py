"""A recording to subtitles: python examples/file_to_captions.py talk.mp3 > talk.srt"""

import sys

from streaming_asr import Recognizer


def main(path: str) -> None:
    with Recognizer.load() as recognizer:
        print(recognizer.transcribe(path).srt(), end="")


if __name__ == "__main__":
    main(sys.argv[1])
