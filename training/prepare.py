"""Decodes the recordings of a manifest into one int16 array: `python -m training.prepare MANIFEST FOLDER`.

A manifest is a table with tabs and a head line: path (relative to the manifest), duration, speaker, part, transcript.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.corpus import CorpusWriter, Utterance, hours
from training.transcripts import is_spellable, normalize


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of a manifest."""

    path: Path
    speaker: str
    part: str
    transcript: str
    collection: str


def read_manifest(path: Path) -> list[Recording]:
    """The lines of a manifest; the collection is the first folder of each path."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab", quoting=csv.QUOTE_NONE))
    return [
        Recording(
            path.parent / row["path"],
            row["speaker"],
            row.get("part") or "train",
            row["transcript"],
            Path(row["path"]).parts[0],
        )
        for row in rows
    ]


def read_audio(path: Path) -> Samples:
    """Any file that libsndfile reads, mixed down and resampled to 16 kHz, shape (samples,)."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1, dtype=np.float32)
    return mono if rate == SAMPLE_RATE else np.asarray(soxr.resample(mono, rate, SAMPLE_RATE), dtype=np.float32)


def decoded(recordings: Sequence[Recording], workers: int) -> Iterator[tuple[Recording, Samples]]:
    """Each recording with its samples, in the order of the manifest."""
    paths = [recording.path for recording in recordings]
    if workers <= 1:
        yield from zip(recordings, map(read_audio, paths), strict=True)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from zip(recordings, pool.map(read_audio, paths, chunksize=64), strict=True)


def prepare(
    manifest: Path,
    folder: Path,
    *,
    workers: int = 1,
    transcribed: bool = True,
    held_out: str | None = None,
    only: str | None = None,
    as_is: bool = False,
) -> tuple[Utterance, ...]:
    """Writes the corpus folder; recordings whose transcript holds digits or signs are left out.

    Files whose names begin with `held_out` go to the part "dev" (noises that are only for evaluation). `only` names a
    part and leaves the others out, unless the manifest has no such part. `as_is` keeps transcripts as they are, for
    models that spell otherwise than in English capitals.
    """
    recordings = read_manifest(manifest)
    recordings = [recording for recording in recordings if recording.part == only] or recordings
    as_is = as_is or not transcribed
    kept = [recording for recording in recordings if as_is or is_spellable(recording.transcript)]
    writer = CorpusWriter(folder)
    for recording, samples in track(decoded(kept, workers), total=len(kept), description=str(manifest)):
        writer.add(
            samples,
            name=recording.path.stem,
            collection=recording.collection,
            speaker=recording.speaker,
            part="dev" if held_out and recording.path.name.startswith(held_out) else recording.part,
            transcript=recording.transcript if as_is else normalize(recording.transcript),
        )
    return writer.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path, help="where the array and the table go")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    parser.add_argument("--untranscribed", action="store_true", help="noises or room responses: keep every line")
    parser.add_argument("--as-is", action="store_true", help="keep the transcripts as they are")
    parser.add_argument("--held-out", help="files whose names begin so are for evaluation (part dev)")
    options = parser.parse_args()
    utterances = prepare(
        options.manifest,
        options.folder,
        workers=options.workers,
        transcribed=not options.untranscribed,
        held_out=options.held_out,
        as_is=options.as_is,
    )
    Console().print(f"{len(utterances)} recordings, {hours(utterances):.2f} h in {options.folder}")


if __name__ == "__main__":
    main()
