"""The microphone, one line per utterance, until Ctrl-C: python examples/microphone.py"""

from streaming_asr import Final, Microphone, Recognizer, Source


def captions(source: Source) -> None:
    with Recognizer.load() as recognizer:
        try:
            for event in recognizer.recognize(source):
                if isinstance(event, Final):
                    print(event.text, flush=True)
        except KeyboardInterrupt:
            print("-- the end --")


if __name__ == "__main__":
    with Microphone() as microphone:
        captions(microphone)
