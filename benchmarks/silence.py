"""Where nobody speaks, nothing is said; where somebody does, no word is clipped.

    python -m benchmarks.silence [--minutes 10] [--model NAME] [--recordings FOLDER] [--detector silero]

Silence, noise and music are synthesized, each a part of the minutes; recordings without speech from a folder are added.
Then every sentence of the demo recording is cut so that its speech begins at sample 0 and ends at the last sample, and
the words are compared with those of the same sentence amid silence.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.machine import print_machine
from benchmarks.soak import PIECE, samples_of
from streaming_asr import SAMPLE_RATE, Event, Final, Recognizer, SpeechStarted
from streaming_asr.audio.gate import Detector, GateOptions
from streaming_asr.audio.samples import FloatArray, Samples
from streaming_asr.command_line.demo import RECORDING

Sound = Callable[[int, np.random.Generator], FloatArray]


def digital_silence(samples: int, random: np.random.Generator) -> FloatArray:
    return np.zeros(samples)


def room(samples: int, random: np.random.Generator) -> FloatArray:
    """The noise floor of a quiet room, -60 dBFS."""
    return np.asarray(pink_noise(samples, random) * 10 ** (-45 / 20))


def white_noise(samples: int, random: np.random.Generator) -> FloatArray:
    return random.normal(0, 10 ** (-30 / 20), samples)


def pink_noise(samples: int, random: np.random.Generator) -> FloatArray:
    """Noise with equal power per octave, -15 dBFS."""
    spectrum = np.fft.rfft(random.normal(0, 1, samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise * (10 ** (-15 / 20) / noise.std()))


def fan(samples: int, random: np.random.Generator) -> FloatArray:
    """Low noise with a hum of 50 Hz and its harmonics, as a fan or a bad cable makes it."""
    time_ = np.arange(samples) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 50 * harmonic * time_) / harmonic for harmonic in range(1, 8))
    return np.asarray(0.03 * hum + 0.2 * pink_noise(samples, random))


def keyboard(samples: int, random: np.random.Generator) -> FloatArray:
    """Short clicks of random loudness, four a second, over the noise of a room."""
    clicks = np.zeros(samples)
    click = random.normal(0, 1, 320) * np.exp(-np.arange(320) / 60)
    for start in random.integers(0, max(1, samples - 320), samples * 4 // SAMPLE_RATE):
        clicks[start : start + 320] += click * random.uniform(0.02, 0.3)
    return clicks + room(samples, random)


def music(samples: int, random: np.random.Generator) -> FloatArray:
    """Chords, a melody and a drum: tones with decaying harmonics, two beats a second."""
    sound = np.zeros(samples + 2 * SAMPLE_RATE)
    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16]) / 12)
    for beat in range(2 * samples // SAMPLE_RATE):
        start = beat * SAMPLE_RATE // 2
        notes = [scale[random.integers(len(scale))] * 2]
        if beat % 4 == 0:
            root = random.integers(4)
            notes += [scale[root], scale[root + 2], scale[root + 4]]
        for note in notes:
            sound[start : start + SAMPLE_RATE] += 0.08 * _tone(note)
        sound[start : start + 3200] += 0.1 * random.normal(0, 1, 3200) * np.exp(-np.arange(3200) / 500)
    return sound[:samples]


def _tone(frequency: float) -> FloatArray:
    time_ = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    partials = sum(np.sin(2 * np.pi * frequency * n * time_) / n**1.5 for n in range(1, 7))
    return np.asarray(partials * np.exp(-3 * time_) * np.minimum(1, time_ * 100))


SOUNDS: Mapping[str, Sound] = {
    "digital silence": digital_silence,
    "quiet room": room,
    "white noise": white_noise,
    "pink noise": pink_noise,
    "fan and hum": fan,
    "keyboard": keyboard,
    "music": music,
}


def events_of(recognizer: Recognizer, samples: Samples, gate: GateOptions | None = None) -> list[Event]:
    """What a fresh stream says to this audio, pushed in pieces of 100 ms."""
    stream = recognizer.stream(sample_rate=SAMPLE_RATE, gate=gate)
    events = [event for start in range(0, len(samples), PIECE) for event in stream.push(samples[start : start + PIECE])]
    return events + stream.finish()


def words_of(events: Sequence[Event]) -> list[str]:
    """The words of all finals."""
    return [word.text for event in events if isinstance(event, Final) for word in event.words]


def sentences(recording: Samples, *, pause_ms: int = 500, level: float = 0.001) -> Iterator[tuple[int, int]]:
    """First sample and end of every stretch of speech between pauses, by the level of blocks of 10 ms."""
    blocks = np.sqrt(np.square(recording[: len(recording) // 160 * 160]).reshape(-1, 160).mean(axis=1))
    loud = np.flatnonzero(blocks > level)
    breaks = np.flatnonzero(np.diff(loud) > pause_ms // 10)
    for first, last in zip([0, *(breaks + 1)], [*breaks, len(loud) - 1], strict=True):
        yield int(loud[first]) * 160, (int(loud[last]) + 1) * 160


def hear_nothing(recognizer: Recognizer, name: str, samples: Samples, gate: GateOptions) -> int:
    """Print and return how many words are heard where there are none."""
    cpu = time.process_time()
    events = events_of(recognizer, samples, gate)
    cost = (time.process_time() - cpu) / (len(samples) / SAMPLE_RATE)
    opened = sum(isinstance(event, SpeechStarted) for event in events)
    said = words_of(events)
    print(
        f"{name:20} {len(samples) / SAMPLE_RATE:5.0f} s  {len(said)} words  {opened} starts  {cost:.4f} CPU  {said[:5]}"
    )
    return len(said)


def clip_nothing(recognizer: Recognizer, recording: Samples, gate: GateOptions) -> None:
    """Compare every sentence that fills its audio to the last sample with the same one amid silence."""
    silence = np.zeros(SAMPLE_RATE, dtype=np.float32)
    same = total = 0
    for start, stop in sentences(recording):
        speech = recording[start:stop]
        bare = words_of(events_of(recognizer, speech, gate))
        amid = words_of(events_of(recognizer, np.concatenate([silence, speech, silence]), gate))
        total += 1
        same += bare[:1] == amid[:1] and bare[-1:] == amid[-1:]
        print(f"  bare:  {' '.join(bare)}\n  amid:  {' '.join(amid)}")
    print(f"first and last word the same in {same} of {total} sentences")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--model")
    parser.add_argument("--detector", choices=get_args(Detector), default="webrtc")
    parser.add_argument("--recordings", type=Path, help="a folder of recordings without speech")
    options = parser.parse_args(arguments)
    print_machine()
    samples = round(options.minutes * 60 * SAMPLE_RATE / len(SOUNDS))
    random = np.random.default_rng(0)
    gate = GateOptions(detector=options.detector)
    with Recognizer.load(options.model) as recognizer:
        said = sum(
            hear_nothing(recognizer, name, sound(samples, random).astype(np.float32), gate)
            for name, sound in SOUNDS.items()
        )
        if options.recordings:
            files = sorted(path for path in options.recordings.rglob("*") if path.suffix in {".wav", ".flac", ".opus"})
            said += hear_nothing(recognizer, "recordings", np.concatenate([samples_of(path) for path in files]), gate)
        print(f"words heard in all        {said}\n")
        clip_nothing(recognizer, samples_of(RECORDING), gate)


if __name__ == "__main__":
    main()
