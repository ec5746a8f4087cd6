"""Word error rates of the embedded model, or any other, beside pocketsphinx, on the same recordings in one run.

    python -m benchmarks.accuracy --manifest ../shared/speech/manifest.tsv --noise ../shared/speech/noise/manifest.tsv

The recordings are those of the part `dev` of the manifest (columns path, duration, speaker, part, transcript). Two sets
are derived from them, always in the same way: a telephone band (300 to 3400 Hz, mu-law) and noise at 5 to 15 dB. Texts
are compared in capitals without punctuation, accents dropped, hyphens read as spaces, apostrophes kept; error rates are
jiwer's, over all words of a set. Ways of recognition: the whole recording at once, and chunks of 640 ms with 320 ms of
lookahead, of 640 ms and of 320 ms, with what a stream knows of the level so far; each greedy and by beam search with
the language model that lies beside the model. Pocketsphinx (`pip install pocketsphinx`) runs with its own model;
faster-whisper (tiny.en and base, greedy, whole recordings, one thread) runs where `python -m
benchmarks.peers.environments` has made its environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jiwer
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import print_machine
from benchmarks.peers import environments
from streaming_asr.audio.samples import SAMPLE_RATE, FloatArray, Samples, milliseconds_to_samples
from streaming_asr.decoding import Alphabet, BeamSearch, GreedySearch, LanguageModel, load_language_model
from streaming_asr.model import Context, Encoder, Precision
from training.corpus import Corpus
from training.evaluation_sets import Example, evaluation_sets
from training.prepare import prepare
from training.transcripts import normalize

EMBEDDED: Final = Path(__file__).parents[1] / "streaming_asr" / "embedded" / "english"

WAYS: Final[Mapping[str, tuple[float, float] | None]] = {
    "offline": None,
    "640+320 ms": (640.0, 320.0),
    "640 ms": (640.0, 0.0),
    "320 ms": (320.0, 0.0),
}
LEFT_MS: Final = 6400.0
FASTER_WHISPER: Final = Path(__file__).parent / "peers" / "programs" / "faster_whisper_offline.py"
WHISPERS: Final[Mapping[str, Path]] = {"tiny.en": environments.TINY, "base": environments.BASE}
SINK_MS: Final = 320.0

Recognize = Callable[[Samples], str]
"""From a recording, shape (samples,), to its text."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: error rates by set, and compute seconds per second of audio."""

    way: str
    rates: Mapping[str, float]
    real_time_factor: float


def log_probabilities(encoder: Encoder, samples: Samples, way: tuple[float, float] | None) -> FloatArray:
    """Natural logarithms for one recording, offline or in chunks: (samples,) -> (frames, labels)."""
    if way is None:
        logits = encoder(samples[None])[0]
    else:
        stream = encoder.open(context_of(encoder, *way))
        logits = torch.cat([stream.push(samples), stream.finish()])
    return np.asarray(torch.log_softmax(logits.double(), dim=-1).numpy())


def context_of(encoder: Encoder, chunk_ms: float, lookahead_ms: float) -> Context:
    """A stream's context in frames of the model."""
    chunk, lookahead, left, sinks = (
        round(milliseconds_to_samples(value) / encoder.hop) for value in (chunk_ms, lookahead_ms, LEFT_MS, SINK_MS)
    )
    return Context(chunk=chunk, lookahead=lookahead, left=left, sinks=sinks)


def searched(log_probs: FloatArray, alphabet: Alphabet, language_model: LanguageModel | None) -> str:
    """The best text: greedy without a language model, by beam search with one."""
    search = BeamSearch(alphabet, language_model=language_model) if language_model else GreedySearch(alphabet)
    search.push(log_probs)
    beams = search.finish()
    return beams[0].text if beams else ""


def recognizers(encoder: Encoder, language_model: LanguageModel | None) -> Iterator[tuple[str, Recognize]]:
    """Ours in every way, by the name of the way."""
    alphabet = Alphabet(encoder.labels)
    for name, way in WAYS.items():
        for kind, model in (("greedy", None), ("beam+LM", language_model)):
            if kind == "greedy" or model is not None:
                yield (
                    f"{name}, {kind}",
                    lambda samples, way=way, model=model: searched(  # type: ignore[misc]
                        log_probabilities(encoder, samples, way), alphabet, model
                    ),
                )


def pocketsphinx() -> Recognize:
    """Pocketsphinx with the model in its package."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")

    def recognize(samples: Samples) -> str:
        decoder.start_utt()
        decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found else ""

    return recognize


def faster_whisper(name: str, model: Path, sets: Mapping[str, Sequence[Example]]) -> Row:
    """Error rates and speed of faster-whisper on all sets, in an environment of its own."""
    examples = [one for members in sets.values() for one in members]
    with tempfile.TemporaryDirectory() as folder:
        recordings, result = Path(folder) / "recordings.npz", Path(folder) / "result.json"
        arrays: dict[str, Any] = {f"{number:06}": one.samples for number, one in enumerate(examples)}
        np.savez(recordings, **arrays)
        command = [environments.python(environments.WHISPERLIVEKIT), FASTER_WHISPER, model, recordings, result]
        subprocess.run([str(part) for part in command], check=True)
        found = json.loads(result.read_text(encoding="utf-8"))
    texts = iter(found["texts"])
    rates = {
        kind: float(jiwer.wer([one.transcript for one in members], [normalize(next(texts)) for _ in members]))
        for kind, members in sets.items()
    }
    return Row(name, rates | {"all": pooled(rates)}, found["seconds"] / sum(one.seconds for one in examples))


def measure(name: str, recognize: Recognize, sets: Mapping[str, Sequence[Example]]) -> Row:
    """Error rates and speed of one recognizer on all sets."""
    rates, heard, used = {}, 0.0, 0.0
    for kind, examples in sets.items():
        began = time.process_time()
        texts = [normalize(recognize(one.samples)) for one in track(examples, f"{name}: {kind}", transient=True)]
        used += time.process_time() - began
        heard += sum(one.seconds for one in examples)
        rates[kind] = float(jiwer.wer([one.transcript for one in examples], texts))
    return Row(name, rates | {"all": pooled(rates)}, used / heard)


def pooled(rates: Mapping[str, float]) -> float:
    """The mean over the sets, each counting alike."""
    return float(np.mean(list(rates.values())))


def real_time_factors(model: Path, sets: Mapping[str, Sequence[Example]]) -> list[str]:
    """CPU seconds per second of audio of encoding in 640+320 ms chunks on one core, float32 and int8."""
    lines: list[str] = []
    examples = next(iter(sets.values()))[:20]
    precisions: tuple[Precision, ...] = ("float32", "int8")
    for precision in precisions:
        encoder = Encoder.load(model, precision=precision)
        log_probabilities(encoder, examples[0].samples, WAYS["640+320 ms"])
        began = time.process_time()
        for one in examples:
            log_probabilities(encoder, one.samples, WAYS["640+320 ms"])
        factor = (time.process_time() - began) / sum(one.seconds for one in examples)
        lines.append(f"real-time factor of encoding, {precision}, 640+320 ms, one core: {factor:.4f}")
    return lines


def read_sets(manifest: Path, noise: Path | None, limit: int | None) -> dict[str, list[Example]]:
    """The sets of a manifest's part dev (all of it, if it has none)."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(manifest, Path(folder) / "speech", only="dev", workers=2)
        noises: list[Samples] = []
        if noise is not None:
            prepare(noise, Path(folder) / "noise", transcribed=False, held_out="5-")
            corpus = Corpus.open(Path(folder) / "noise").part("dev")
            noises = [corpus.samples(one) for one in corpus.utterances]
        return evaluation_sets(Corpus.open(Path(folder) / "speech"), noises, limit)


def show(rows: Sequence[Row], sets: Mapping[str, Sequence[Example]]) -> None:
    """One table: a line per way of recognition, a column per set."""
    table = Table(title="word error rate in %")
    table.add_column("way", no_wrap=True)
    for name, examples in sets.items():
        table.add_column(f"{name}\n({len(examples)})", justify="right")
    table.add_column("mean", justify="right")
    table.add_column("real-time\nfactor", justify="right")
    for row in rows:
        table.add_row(row.way, *(f"{100 * rate:.1f}" for rate in row.rates.values()), f"{row.real_time_factor:.3f}")
    Console(width=150).print(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--noise", type=Path, help="a manifest of noises; those whose names begin with 5- are used")
    parser.add_argument("--limit", type=int, help="recordings per set")
    parser.add_argument("--no-pocketsphinx", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    sets = read_sets(options.manifest, options.noise, options.limit)
    encoder = Encoder.load(options.model)
    beside = options.model / "language_model"
    language_model = None
    if beside.exists():
        language_model = load_language_model(beside, Alphabet(encoder.labels), empty_is_unknown=False)
    peer = None if options.no_pocketsphinx else pocketsphinx()
    rows = [measure(name, recognize, sets) for name, recognize in recognizers(encoder, language_model)]
    if peer is not None:
        rows.append(measure("pocketsphinx 5.1.1", peer, sets))
    for name, folder in WHISPERS.items():
        if (folder / "model.bin").exists():
            rows.append(faster_whisper(f"faster-whisper {name}", folder, sets))
    show(rows, sets)
    print("\n".join(real_time_factors(options.model, sets)))
    if options.json:
        figures = {row.way: {"wer": dict(row.rates), "rtf": row.real_time_factor} for row in rows}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
