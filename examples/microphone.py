"""The microphone, one line per utterance, until Ctrl-C: python examples/microphone.py"""

from streaming_asr import Final, Recognizer
from streaming_asr.audio.microphone import Microphone
from streaming_asr.audio.sources import Source


def transcribe(source: Source) -> None:
    with Recognizer.load() as recognizer:
        stream = recognizer.stream(sample_rate=source.sample_rate, channels=source.channels)
        try:
            for piece in source:
                for event in stream.push(piece):
                    if isinstance(event, Final):
                        print(event.text, flush=True)
        except KeyboardInterrupt:
            pass
        for event in stream.finish():
            if isinstance(event, Final):
                print(event.text)


if __name__ == "__main__":
    with Microphone() as microphone:
        transcribe(microphone)
