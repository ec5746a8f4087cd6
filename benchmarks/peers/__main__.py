"""Ours beside other streaming recognizers: words, cost, delays, stability, dropped connections, many streams.

    python -m benchmarks.peers.environments          # once: the peers, in environments of their own
    python -m benchmarks.peers --manifest ../shared/speech/manifest.tsv [--recordings 12] [--only NAME …]

Every recognizer is a server process on this machine. Held-out recordings are spoken to it at the pace of speech, one
after the other, in packets of 50 ms, each followed by three seconds of silence. Figures:

- word error rate, in capitals without punctuation (jiwer), of the last picture of each recording;
- CPU seconds of the server and its children per second of audio, and their largest resident memory;
- first word: from the start of speech to the first word shown; final: from the end of speech until nothing changes
  any more (median and 95th percentile). Where speech begins and ends follows from the level of the recording;
- unstable words: shown and later changed, over the words of the last picture; formatting does not count;
- words lost: the connection is cut in the midst of each recording, and opened again at once. A client that resumes
  goes on by itself; to the others the rest is spoken anew. The word error rate then, less the one without a cut;
- streams: as many at once as keep the 95th percentile of the final's delay within 300 ms of a single stream's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import print_machine
from benchmarks.peers import environments
from benchmarks.peers.pictures import Outcome, Picture, Recording, outcome, word_error_rate
from benchmarks.peers.processes import free_port, running, use
from benchmarks.peers.recognizers import Peer, ours, pocketsphinx, whisperlivekit
from benchmarks.random_checkpoint import random_checkpoint
from streaming_asr.audio.samples import Samples
from training.corpus import Corpus
from training.prepare import prepare

PACKET: Final = 1_600
"""Bytes of 50 ms."""

SILENCE: Final = bytes(96_000)
"""Three seconds behind each recording."""

PATIENCE: Final = 120.0
"""Seconds behind the end of a recording after which its recognizer is given up."""

ADDED_DELAY: Final = 0.3
STREAMS: Final = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Row:
    """All figures of one recognizer; None where a figure means nothing for it or could not be had."""

    name: str
    word_error_rate: float | None
    cpu: float
    memory: float
    first_word: float | None
    final_median: float | None
    final_p95: float | None
    unstable: float | None
    lost: float | None
    streams: int


class Cut:
    """A way to a server that can be cut: everything that is open is broken, new connections are taken."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Cut:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_forward(reader, far_writer), _forward(far_reader, writer))
        self._writers -= {writer, far_writer}


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def spoken(recording: Recording, began: float, start: int = 0) -> AsyncIterator[bytes]:
    """A recording and its silence at the pace of speech, from a byte on; `began` is when its first sample was due."""
    clock = asyncio.get_running_loop().time
    audio = recording.pcm + SILENCE
    for position in range(start, len(audio), PACKET):
        await asyncio.sleep(began + (position + PACKET) / 32_000 - clock())
        yield audio[position : position + PACKET]


async def run(peer: Peer, port: int, recording: Recording) -> Outcome:
    """Speak one recording and take down what is shown."""
    clock = asyncio.get_running_loop().time
    began = clock()
    pictures: list[Picture] = []
    url = f"ws://127.0.0.1:{port}{peer.path}"
    show = lambda settled, tail: pictures.append(Picture(clock() - began, settled, tail))  # noqa: E731
    await asyncio.wait_for(peer.recognize(url, spoken(recording, began), show), recording.seconds + PATIENCE)
    return outcome(recording, pictures)


async def run_with_cut(peer: Peer, port: int, recording: Recording) -> Outcome:
    """The same with the connection cut half-way; a client that does not resume speaks the rest on a new one."""
    clock = asyncio.get_running_loop().time
    began, half = clock(), len(recording.pcm) // 2 // PACKET * PACKET
    before, after = [Picture(0.0, "", "")], [Picture(0.0, "", "")]
    async with Cut(port) as way:
        url = f"ws://127.0.0.1:{way.port}{peer.path}"
        asyncio.get_running_loop().call_at(began + half / 32_000, way.cut)
        show = lambda settled, tail: before.append(Picture(clock() - began, settled, tail))  # noqa: E731
        first = peer.recognize(url, spoken(recording, began), show)
        if peer.resumes:
            await asyncio.wait_for(first, recording.seconds + PATIENCE)
        else:
            with suppress(Exception):  # the cut: each client says it in its own way
                await asyncio.wait_for(first, recording.seconds + PATIENCE)
            rest = lambda settled, tail: after.append(Picture(clock() - began, settled, tail))  # noqa: E731
            await asyncio.wait_for(
                peer.recognize(url, spoken(recording, began, half), rest), recording.seconds + PATIENCE
            )
    whole = Picture(clock() - began, " ".join(before[-1].words), " ".join(after[-1].words))
    return outcome(recording, [whole])


async def measured(peer: Peer, recordings: Sequence[Recording], streams: Sequence[int], log: Path) -> Row:
    """All figures of one recognizer."""
    port = free_port()
    async with running(peer.command(port), port=port, log=log, environment=peer.environment, ready=peer.ready) as pid:
        await run(peer, port, recordings[0])  # what is loaded or compiled at first use is not counted
        before = use(pid)
        outcomes = [await run(peer, port, one) for one in recordings]
        used = use(pid)
        seconds = sum(one.seconds + len(SILENCE) / 32_000 for one in recordings)
        rate = word_error_rate(recordings, outcomes) if peer.accurate else None
        lost = None
        if rate is not None:
            lost = word_error_rate(recordings, [await run_with_cut(peer, port, one) for one in recordings]) - rate
        finals = [one.final for one in outcomes if one.final is not None]
        single = float(np.percentile(finals, 95)) if finals else None
        held = await most_streams(peer, port, recordings, streams, single)
    return Row(
        name=peer.name,
        word_error_rate=rate,
        cpu=(used.cpu - before.cpu) / seconds,
        memory=used.memory,
        first_word=_median([one.first_word for one in outcomes if one.first_word is not None]),
        final_median=_median(finals),
        final_p95=single,
        unstable=_unstable(outcomes) if peer.accurate else None,
        lost=lost,
        streams=held,
    )


async def most_streams(
    peer: Peer, port: int, recordings: Sequence[Recording], counts: Sequence[int], single: float | None
) -> int:
    """The largest number of streams at once whose finals are at most 300 ms later than a single one's."""
    held = 1
    for count in counts if single is not None else ():
        chosen = [recordings[index % len(recordings)] for index in range(count)]
        answers = await asyncio.gather(*(run(peer, port, one) for one in chosen), return_exceptions=True)
        finals = [one.final for one in answers if isinstance(one, Outcome) and one.final is not None]
        if len(finals) < count or float(np.percentile(finals, 95)) > (single or 0.0) + ADDED_DELAY:
            break
        held = count
    return held


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _unstable(outcomes: Sequence[Outcome]) -> float:
    return sum(one.unstable for one in outcomes) / max(1, sum(len(one.said.split()) for one in outcomes))


def read_recordings(manifest: Path, count: int) -> list[Recording]:
    """Held-out recordings of 3 to 12 seconds, spread evenly over the manifest."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(manifest, Path(folder), only="dev", workers=2)
        corpus = Corpus.open(Path(folder))
        fitting = [one for one in corpus.utterances if 3 <= one.samples / 16_000 <= 12]
        chosen = fitting[:: max(1, len(fitting) // count)][:count]
        return [as_recording(corpus.samples(one), one.transcript) for one in chosen]


def as_recording(samples: Samples, transcript: str) -> Recording:
    """Speech is where the level is within 30 dB of the loudest 10 ms."""
    power = np.square(samples[: len(samples) // 160 * 160].reshape(-1, 160)).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 1e-3)
    pcm = (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()
    return Recording(pcm, transcript, loud[0] / 100, (loud[-1] + 1) / 100)


def peers(folder: Path) -> Iterator[Peer]:
    """All recognizers that are here; those whose environments were not made are told and left out."""
    yield ours("ours, embedded")
    for size in ("base", "large"):
        yield ours(f"ours, random {size}", "--model", str(folder / size), accurate=False)
    wlk = environments.python(environments.WHISPERLIVEKIT)
    sphinx = environments.python(environments.POCKETSPHINX)
    if not (wlk.exists() and sphinx.exists()):
        print("peers are missing; `python -m benchmarks.peers.environments` makes their environments", file=sys.stderr)
    if wlk.exists():
        yield whisperlivekit("WhisperLiveKit, tiny.en", wlk, environments.TINY)
        yield whisperlivekit("WhisperLiveKit, base", wlk, environments.BASE)
    if sphinx.exists():
        yield pocketsphinx("pocketsphinx", sphinx)


def show(rows: Sequence[Row]) -> None:
    """One table, a line per recognizer."""
    table = Table(title="the same recordings in real time on this machine")
    table.add_column("recognizer")
    for head in ("WER", "CPU s / s", "MiB", "first word", "final p50", "p95", "unstable", "lost", "streams"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            _share(row.word_error_rate),
            f"{row.cpu:.3f}",
            f"{row.memory:.0f}",
            *(_seconds(value) for value in (row.first_word, row.final_median, row.final_p95)),
            "" if row.unstable is None else f"{row.unstable:.2f}",
            _share(row.lost),
            str(row.streams),
        )
    Console(width=130).print(table)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


async def compare(options: argparse.Namespace) -> list[Row]:
    """Every recognizer after the other, each alone on the machine."""
    recordings = read_recordings(options.manifest, options.recordings)
    streams = [count for count in STREAMS if count <= options.streams]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for peer in peers(Path(name)):
            if not options.only or any(peer.name.startswith(only) for only in options.only):
                print(f"{peer.name} …", file=sys.stderr, flush=True)
                if not peer.accurate:
                    random_checkpoint(peer.name.split()[-1], Path(name))
                rows.append(await measured(peer, recordings, streams, Path(name) / "log"))
                if options.json:
                    options.json.write_text(
                        json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8"
                    )
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--recordings", type=int, default=12)
    parser.add_argument("--streams", type=int, default=64, help="the most streams to try at once")
    parser.add_argument("--only", nargs="*", help="beginnings of names")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    print_machine()
    rows = asyncio.run(compare(options))
    show(rows)


if __name__ == "__main__":
    main()
