"""Every event of a stream, as a program reads them: python examples/reading_events.py talk.wav"""

import sys

from streaming_asr import Event, Final, Partial, Recognizer, SpeechEnded, SpeechStarted, TurnEnding, TurnResumed


def told(event: Event) -> str:
    match event:
        case SpeechStarted(time=time):
            return f"{time:6.2f}  someone speaks"
        case Partial(committed=committed, tail=tail, end=end):
            return f"{end:6.2f}  {committed} [{tail}]"
        case Final(text=text, end=end, confidence=confidence):
            return f"{end:6.2f}  {text}  (confidence {confidence:.2f})"
        case TurnEnding(text=text, time=time):
            return f"{time:6.2f}  {text}  (the turn may be over)"
        case TurnResumed(time=time):
            return f"{time:6.2f}  it is not over"
        case SpeechEnded(time=time, reason=reason):
            return f"{time:6.2f}  over: {reason}"
        case TurnEnding(time=time, completeness=completeness):
            return f"{time:6.2f}  probably done  ({completeness:.2f})"
        case TurnResumed(time=time):
            return f"{time:6.2f}  goes on after all"


def main(path: str) -> None:
    with Recognizer.load() as recognizer:
        for event in recognizer.recognize(path):
            print(told(event), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
