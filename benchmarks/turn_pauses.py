"""What endpoint rules make of pauses when all words are known and right: the limit of what the sense can do for turns.

The written words are aligned with the audio, and the text model judges those before each pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track

from benchmarks.turn_recordings import PIECE, Outcome, Recording, Turn
from streaming_asr import SAMPLE_RATE, EndpointOptions, Word
from streaming_asr.audio.gate import GateOptions, detector_for
from streaming_asr.audio.samples import milliseconds_to_samples, seconds
from streaming_asr.model import Encoder
from streaming_asr.text import FormatOptions, Formatter, TextModel
from streaming_asr.turns import JUDGED_SILENCE, required_silence_ms
from training.align import align

SHORTEST = milliseconds_to_samples(120)
"""Samples of silence that count as a pause."""

CLICK = milliseconds_to_samples(200)
"""So little sound behind the last word belongs to no word."""

DISAGREEMENT = milliseconds_to_samples(60)
"""The detector may end speech a little earlier in the joined recording, where it has heard more."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence in a turn, all in samples; `completeness` is that of the words before it."""

    begin: int
    silence: int
    at_end: bool
    completeness: float


def read_pauses(encoder: Encoder, model: TextModel, recordings: Sequence[Recording]) -> list[list[Pause]]:
    """For each turn its pauses; a turn that cannot be aligned, or whose end is not among them, is left out."""
    turns = []
    for recording in track(recordings, description="aligning"):
        formatter, silences = Formatter(model, FormatOptions()), _silences(recording)
        stops = [*(turn.start for turn in recording.turns[1:]), len(recording.samples)]
        for turn, stop in zip(recording.turns, stops, strict=True):
            words = _aligned(encoder, recording, turn)
            mine = [(begin, min(silence, stop - begin)) for begin, silence in silences if turn.start < begin < stop]
            judged = [_judged(formatter, words, turn, *one) for one in mine] if words else []
            pauses = [pause for pause in judged if pause is not None]
            formatter.finish(words, seconds(stop - turn.speech_end))
            if pauses and pauses[-1].at_end:
                turns.append(pauses)
    return turns


def apply(name: str, options: EndpointOptions, turns: Sequence[Sequence[Pause]]) -> Outcome:
    """What one rule makes of all turns; a final in a pause behind the last word is no cut."""
    cut, delays = 0, []
    for pauses in turns:
        inside = [pause for pause in pauses if not pause.at_end]
        behind = [pause for pause in pauses if pause.at_end]
        cut += any(pause.silence >= _required(options, pause) for pause in inside)
        ended = next((pause for pause in behind if pause.silence >= _required(options, pause)), behind[-1])
        delays.append(seconds(ended.begin - behind[0].begin + _required(options, ended)))
    return Outcome(name, len(turns), cut, tuple(delays))


def separation(turns: Sequence[Sequence[Pause]], shortest_ms: int) -> tuple[int, float]:
    """Pauses inside that are so long, and how often the end of a turn is more complete than one of them (AUC)."""
    ends = np.array([one.completeness for pauses in turns for one in pauses if one.at_end])
    least = milliseconds_to_samples(shortest_ms)
    inner = np.array(
        [one.completeness for pauses in turns for one in pauses if not one.at_end and one.silence >= least]
    )
    return len(inner), float((ends[:, None] > inner).mean() + (ends[:, None] == inner).mean() / 2)


def _required(options: EndpointOptions, pause: Pause) -> int:
    """The samples of silence that end the utterance, in whole frames of the gate."""
    silence_ms = options.trailing_silence_ms or 0.0
    if options.turn == "adaptive":
        silence_ms = required_silence_ms(options, pause.completeness)
    return -(-milliseconds_to_samples(silence_ms) // PIECE) * PIECE


def _judged(formatter: Formatter, words: Sequence[Word], turn: Turn, begin: int, silence: int) -> Pause | None:
    """A pause with the words before it; None before the first word, where there is nothing to cut."""
    over = begin >= turn.speech_end - DISAGREEMENT
    said = words if over else [word for word in words if (word.start + word.end) / 2 * SAMPLE_RATE < begin]
    left = turn.speech_end - begin - silence
    at_end = over or (len(said) == len(words) and left <= CLICK)
    if not at_end:  # whatever is heard behind the pause is at least the last word
        said = said[: len(words) - 1]
    return Pause(begin, silence, at_end, formatter.completeness(said, JUDGED_SILENCE)) if said else None


def _silences(recording: Recording) -> list[tuple[int, int]]:
    """Where the voice detector begins to hear nothing, and for how long."""
    detector, found, silent = detector_for(GateOptions()), [], 0
    size = detector.frame_samples
    for start in range(0, len(recording.samples) - size + 1, size):
        if not detector.is_speech(recording.samples[start : start + size]):
            silent += size
            continue
        if silent >= SHORTEST:
            found.append((start - silent, silent))
        silent = 0
    end = len(recording.samples) // size * size
    return [*found, (end - silent, silent)] if silent else found


def _aligned(encoder: Encoder, recording: Recording, turn: Turn) -> list[Word]:
    """The written words with times as a recognizer gives them; none if they do not fit the audio."""
    samples = recording.samples[turn.start : turn.speech_end + PIECE]
    labels = [label.lower() for label in encoder.labels]
    text = " ".join(turn.words)
    log_probs = torch.log_softmax(encoder(samples[None])[0].float(), -1).double().numpy()
    try:
        frames = align(log_probs, [labels.index(letter) for letter in text], encoder.blank)
    except ValueError:
        return []
    centres = turn.start + frames * encoder.hop + encoder.receptive_field // 2
    words, at = [], 0
    for word in turn.words:
        first, last = int(centres[at]), int(centres[at + len(word) - 1])
        words.append(Word(word, seconds(first), seconds(last + encoder.hop), 1.0))
        at += len(word) + 1
    return words
