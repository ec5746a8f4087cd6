"""Synthetic voices: reads sentences of free text with espeak-ng and flite into a corpus folder.

`python -m training.synthesize TEXT_FOLDER FOLDER --utterances 7000` needs the Debian packages espeak-ng and flite.
"""

from __future__ import annotations

import argparse
import lzma
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track

from streaming_asr.audio.samples import Samples
from training.corpus import CorpusWriter, Utterance, hours
from training.prepare import read_audio
from training.transcripts import is_spellable, normalize

Generator = np.random.Generator

FLITE_VOICES: Final = ("awb", "rms", "slt", "kal16")
ESPEAK_ACCENTS: Final = (
    "en-us",
    "en-us-nyc",
    "en-gb",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
ESPEAK_SPEAKERS: Final = (
    *(f"m{number}" for number in range(1, 9)),
    *(f"f{number}" for number in range(1, 6)),
    *("Alex", "Andrea", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario"),
    *("Michael", "Mike", "adam", "anika", "antonio", "belinda", "benjamin", "caleb", "david", "ed", "edward"),
    *("grandma", "grandpa", "john", "linda", "max", "paul", "pedro", "quincy", "rob", "robert", "steph", "travis"),
    *("klatt", "klatt2", "klatt3", "klatt4", "norbert", "sandro", "shelby", "victor", "zac"),
)


def text_files(folder: Path) -> list[Path]:
    """The texts of a folder in order, without the list of their sources."""
    files = sorted(path for path in folder.iterdir() if path.name.endswith((".txt.xz", ".txt")))
    return [path for path in files if path.name != "SOURCES.txt"]


def read_text(path: Path) -> list[str]:
    """The lines of a text file, plain or .xz."""
    if path.suffix == ".xz":
        with lzma.open(path, "rt", encoding="utf-8") as file:
            return [line.strip() for line in file]
    return path.read_text(encoding="utf-8").splitlines()


def choose_sentences(files: Sequence[Path], count: int, generator: Generator) -> list[str]:
    """Sentences of 3 to 18 words that can be spelled, as many from each file; fewer if a file has not enough."""
    chosen: list[str] = []
    for number, path in enumerate(files):
        wanted = (count - len(chosen)) // (len(files) - number)
        fitting = [line for line in read_text(path) if 3 <= len(line.split()) <= 18 and is_spellable(line)]
        picks = generator.permutation(len(fitting))[:wanted]
        chosen.extend(fitting[pick] for pick in picks)
    return [chosen[place] for place in generator.permutation(len(chosen))]


def command_for(text: str, target: Path, generator: Generator) -> tuple[list[str], str]:
    """A command that speaks a text into a file, and the name of the voice: half flite, half espeak-ng."""
    if generator.random() < 0.5:
        voice = str(generator.choice(FLITE_VOICES))
        stretch, pitch = generator.uniform(0.8, 1.25), generator.uniform(80, 220)
        settings = ["--setf", f"duration_stretch={stretch:.2f}", "--setf", f"int_f0_target_mean={pitch:.0f}"]
        return ["flite", "-voice", voice, *settings, "-t", text, "-o", str(target)], f"flite_{voice}"
    voice = f"{generator.choice(ESPEAK_ACCENTS)}+{generator.choice(ESPEAK_SPEAKERS)}"
    height, speed = generator.integers(20, 85), generator.integers(125, 205)
    options = ["-v", voice, "-p", str(height), "-s", str(speed), "-w", str(target)]
    return ["espeak-ng", *options, text], f"espeak_{voice}"


def speak(text: str, seed: tuple[int, int]) -> tuple[Samples, str]:
    """One sentence in a voice that the seed chooses, at 16 kHz, and its name; no samples if it is mute."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        command, voice = command_for(text, target, np.random.default_rng(seed))
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return (read_audio(target) if target.exists() else np.zeros(0, dtype=np.float32)), voice


def synthesize(sentences: Sequence[str], folder: Path, *, seed: int, workers: int) -> tuple[Utterance, ...]:
    """Speaks every sentence into a corpus folder."""
    writer = CorpusWriter(folder)
    for number, (text, (samples, voice)) in enumerate(
        track(zip(sentences, _spoken(sentences, seed, workers), strict=True), total=len(sentences))
    ):
        if len(samples):
            where = {"name": f"synthetic-{number}", "collection": "synthetic", "speaker": voice, "part": "train"}
            writer.add(samples, transcript=normalize(text), **where)
    return writer.close()


def _spoken(sentences: Sequence[str], seed: int, workers: int) -> Iterator[tuple[Samples, str]]:
    seeds = [(seed, number) for number in range(len(sentences))]
    with ProcessPoolExecutor(max(workers, 1)) as pool:
        yield from pool.map(speak, sentences, seeds, chunksize=16)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="a folder of .txt or .txt.xz files, one sentence per line")
    parser.add_argument("folder", type=Path, help="where the array and the table go")
    parser.add_argument("--utterances", type=int, default=7000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    sentences = choose_sentences(text_files(options.text), options.utterances, np.random.default_rng(options.seed))
    utterances = synthesize(sentences, options.folder, seed=options.seed, workers=options.workers)
    Console().print(f"{len(utterances)} utterances, {hours(utterances):.2f} h in {options.folder}")


if __name__ == "__main__":
    main()
