"""A natural voice reads what the recordings hold little of: `python -m training.read_aloud TEXT FOLDER --corpus REAL`.

It takes sentences of free text with words that the part train of a corpus says seldom, the rarest first, and reads each
at another speed and with another vocal tract. Sentences that equal a recording of the part dev, or share eight words in
a row with one, are left out.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import soxr
from rich.console import Console
from rich.progress import Progress

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.corpus import Corpus, CorpusWriter, Utterance, hours
from training.language_model import without
from training.synthesize import Generator, read_text, text_files
from training.transcripts import is_spellable, normalize
from training.voices import Voice, hibari

FEWEST_WORDS: Final = 4
MOST_WORDS: Final = 22
RARE: Final = (3, 6, 10, 16)
"""First words said less often than this are looked for, then less often than that, and so on."""
KNOWN: Final = 3
"""A word that stands less often in all of the text may be an error of its writer: sentences with it are not read."""
SPEEDS: Final = (0.8, 1.15)
TRACTS: Final = (0.84, 1.2)
"""A recording played so much faster is one of a shorter vocal tract."""
NOISE_LEVELS: Final = (-4.2, -2.6)
"""Decimal logarithms of the noise floor's standard deviation."""
SHORTEST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 16.4


def choose_sentences(
    lines: Sequence[str], heard: Sequence[str], held_out: Sequence[str], generator: Generator
) -> list[str]:
    """Lines with words that are rare in what was heard and in the lines chosen before, in random order.

    `heard` and `held_out` are transcripts, normalized.
    """
    spelled = {
        line: normalize(line)
        for line in lines
        if is_spellable(line) and FEWEST_WORDS <= len(line.split()) <= MOST_WORDS
    }
    known = Counter(word for line in lines if line in spelled for word in spelled[line].split())
    allowed = set(without(spelled.values(), held_out))
    left = [
        line for line, text in spelled.items() if text in allowed and all(known[word] >= KNOWN for word in text.split())
    ]
    left = [left[place] for place in generator.permutation(len(left))]
    counts, chosen = Counter(word for text in heard for word in text.split()), dict[str, None]()
    for least in RARE:
        for line in left:
            words = spelled[line].split()
            if line not in chosen and any(counts[word] < least for word in words):
                chosen[line] = None
                counts.update(words)
    found = [*chosen]
    return [found[place] for place in generator.permutation(len(found))]


def read_otherwise(text: str, voice: Voice, generator: Generator, seed: int = 0) -> Samples:
    """One sentence by somebody who sounds a little different each time, over a noise floor, (samples,)."""
    speed, tract = generator.uniform(*SPEEDS), generator.uniform(*TRACTS)
    samples = voice(text, speed=speed / tract**0.5, seed=seed)
    samples = soxr.resample(samples, SAMPLE_RATE * tract, SAMPLE_RATE, "HQ").astype(np.float32)
    samples *= 0.5 / max(float(np.abs(samples).max()), 1e-3)
    noise = generator.normal(0.0, 10 ** generator.uniform(*NOISE_LEVELS), len(samples))
    return np.asarray(samples + noise, dtype=np.float32)


def read_aloud(
    sentences: Sequence[str], voice: Voice, folder: Path, wanted_hours: float, generator: Generator
) -> tuple[Utterance, ...]:
    """Reads sentences into a corpus folder until there is that much audio."""
    writer, samples_left = CorpusWriter(folder), wanted_hours * 3600 * SAMPLE_RATE
    with Progress() as bar:
        task = bar.add_task("reading", total=samples_left)
        for number, sentence in enumerate(sentences):
            if samples_left <= 0:
                break
            samples = read_otherwise(sentence, voice, generator, number)
            if SHORTEST_SECONDS <= len(samples) / SAMPLE_RATE <= LONGEST_SECONDS:
                where = {"name": f"read-{number}", "collection": "read_aloud", "speaker": "hibari", "part": "train"}
                writer.add(samples, transcript=normalize(sentence), **where)
                samples_left -= len(samples)
                bar.advance(task, len(samples))
    return writer.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="a folder of .txt or .txt.xz files, one sentence per line")
    parser.add_argument("folder", type=Path, help="where the array and the table go")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of training.prepare")
    parser.add_argument("--hours", type=float, default=28.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = [line for path in text_files(options.text) for line in read_text(path)]
    corpus, generator = Corpus.open(options.corpus), np.random.default_rng(options.seed)
    heard, held_out = ([one.transcript for one in corpus.part(part).utterances] for part in ("train", "dev"))
    sentences = choose_sentences(lines, heard, held_out, generator)
    utterances = read_aloud(sentences, hibari(), options.folder, options.hours, generator)
    Console().print(f"{len(utterances)} utterances, {hours(utterances):.2f} h in {options.folder}")


if __name__ == "__main__":
    main()
