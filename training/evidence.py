"""Chooses how much evidence an utterance must have: `python -m training.evidence MODEL CORPUS NOISES [--write]`.

Recordings of the part dev, the shortest among them and half of them 30 dB quieter, and noises are recognized as the
product does it, but everything is told. Of each threshold it prints how many words it leaves in noise, and how many of
the words that were said and understood it holds back. Of those that hold back next to none of the latter, the least one
that leaves fewest words in noise is the one; `--write` puts it into config.json.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final, get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from streaming_asr import Final as FinalEvent
from streaming_asr import Recognizer
from streaming_asr.audio.gate import Detector, GateOptions
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.reporting import evidence
from training.corpus import Corpus, Utterance

THRESHOLDS: Final = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
QUIET: Final = 10 ** (-30 / 20)
PAUSE: Final = SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Told:
    """One utterance: its evidence, its words, and how many of them were said."""

    evidence: float
    words: int
    right: int


def told(
    recognizer: Recognizer, samples: Samples, said: Sequence[str] = (), gate: GateOptions | None = None
) -> list[Told]:
    """The utterances of some audio, whatever their evidence, beside what was said in it, in small letters."""
    stream = recognizer.stream(sample_rate=SAMPLE_RATE, minimum_evidence=0.0, gate=gate)
    pieces = (samples[start : start + PAUSE] for start in range(0, len(samples), PAUSE))
    events = [event for piece in pieces for event in stream.push(piece)] + stream.finish()
    finals = [event for event in events if isinstance(event, FinalEvent)]
    heard = [word.text.lower() for final in finals for word in final.words]
    blocks = SequenceMatcher(a=said, b=heard, autojunk=False).get_matching_blocks()
    right = {place for block in blocks for place in range(block.b, block.b + block.size)}
    found, first = [], 0
    for final in finals:
        behind = first + len(final.words)
        found.append(Told(evidence(final.words), len(final.words), len(right & set(range(first, behind)))))
        first = behind
    return found


def held_back(utterances: Sequence[Told], threshold: float) -> tuple[int, int]:
    """Words that are still told, and words that were said and are told no more."""
    return (
        sum(one.words for one in utterances if one.evidence >= threshold),
        sum(one.right for one in utterances if one.evidence < threshold),
    )


def choose(speech: Sequence[Told], noise: Sequence[Told], loss: float) -> float:
    """Of the thresholds that hold back no more than a share of the words that were said, one with least noise.

    Of several with as little noise that hold back as little, the one in the middle: other noises may be worse.
    """
    right = sum(one.right for one in speech)
    costs = {threshold: (held_back(noise, threshold)[0], held_back(speech, threshold)[1]) for threshold in THRESHOLDS}
    harmless = {threshold: cost for threshold, cost in costs.items() if cost[1] <= loss * right}
    best = [threshold for threshold, cost in harmless.items() if cost == min(harmless.values())]
    return best[(len(best) - 1) // 2]


def recordings(corpus: Corpus, limit: int) -> Iterator[tuple[Samples, list[str]]]:
    """The shortest ones and others, in silence, every other one quiet."""
    chance = sorted(corpus.utterances, key=lambda one: zlib.crc32(one.name.encode()))
    shortest = sorted(chance, key=lambda one: len(one.transcript.split()))[: limit // 2]
    chosen: list[Utterance] = [*shortest, *(one for one in chance if one not in shortest)][:limit]
    pause = np.random.default_rng(0).normal(0, 1e-4, PAUSE).astype(np.float32)
    for number, one in enumerate(chosen):
        samples = corpus.samples(one) * np.float32(QUIET if number % 2 else 1.0)
        yield np.concatenate([pause, samples, pause]), one.transcript.lower().split()


def show(speech: Sequence[Told], noise: Sequence[Told], hours: float) -> None:
    """The table of thresholds."""
    right = sum(one.right for one in speech)
    table = Table("threshold", "words per hour of noise", f"of {right} words said and understood, held back")
    for threshold in THRESHOLDS:
        words, lost = held_back(noise, threshold)[0], held_back(speech, threshold)[1]
        table.add_row(f"{threshold:g}", f"{words / hours:.0f}", f"{lost} ({100 * lost / max(1, right):.2f} %)")
    Console().print(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path, help="a folder of training.prepare; its part dev is used")
    parser.add_argument("noises", type=Path, help="another one")
    parser.add_argument("--limit", type=int, default=120, help="recordings")
    parser.add_argument("--detector", choices=get_args(Detector), default="webrtc")
    parser.add_argument("--every", type=int, default=1, help="of so many noises one is used")
    parser.add_argument("--loss", type=float, default=0.005, help="share of understood words that may be held back")
    parser.add_argument("--write", action="store_true", help="put the threshold into the model's config.json")
    options = parser.parse_args()
    corpus, noises = Corpus.open(options.corpus).part("dev"), Corpus.open(options.noises)
    with Recognizer.load(str(options.model)) as recognizer:
        gate = GateOptions(detector=options.detector)
        chosen = recordings(corpus, options.limit)
        speech = [one for samples, said in chosen for one in told(recognizer, samples, said, gate)]
        noise_samples = np.concatenate([noises.samples(one) for one in noises.utterances[:: options.every]])
        noise = told(recognizer, noise_samples, gate=gate)
    show(speech, noise, len(noise_samples) / SAMPLE_RATE / 3600)
    threshold = choose(speech, noise, options.loss)
    Console().print(f"minimum_evidence: {threshold:g}")
    if options.write:
        file = options.model / "config.json"
        file.write_text(
            json.dumps(json.loads(file.read_text("utf-8")) | {"minimum_evidence": threshold}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
