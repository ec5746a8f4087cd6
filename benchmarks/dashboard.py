"""A picture of the Grafana dashboard: its queries, answered by a real Prometheus that watches a server with clients.

    python -m benchmarks.dashboard docs/images/dashboard.svg [--prometheus PROGRAM] [--minutes 6] [--streams 4]

The server has the embedded model and room for `streams` streams. They come one after the other, speak in real time, and
lose their connections now and then; recorded files come in, some clients make a mistake, and others find no room.
Grafana itself is not needed: the panels of `deploy/grafana.json` are drawn here, at their places, with their queries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import httpx
import numpy as np
from streaming_asr_client import RefusedError, StreamFailedError, connect

from benchmarks.endurance.network import cutting_network
from benchmarks.machine import print_machine
from benchmarks.serving import free_port, play, until_ready
from benchmarks.soak import samples_of
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING

DASHBOARD: Final = Path(__file__).parents[1] / "deploy" / "grafana.json"
SCRAPE_SECONDS: Final = 5
RATE_SECONDS: Final = 4 * SCRAPE_SECONDS
"""What Grafana makes of $__rate_interval."""

COLOURS: Final = ("#3f51b5", "#e07a1f", "#2a9d6f", "#b03a6b", "#7a6ff0", "#8a8a2a")
COLUMN, ROW, GAP = 50, 30, 8
"""Pixels of a unit of the dashboard's grid, and between two panels."""

Curve = tuple[str, Sequence[tuple[float, float]]]
"""A name, and pairs of seconds since the start and value."""


@dataclass(frozen=True, slots=True)
class Place:
    """Left upper corner, width and height on the dashboard's grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of the dashboard: where it is, and what it asks for under which names."""

    title: str
    kind: str
    unit: str
    place: Place
    queries: Sequence[tuple[str, str]]


def panels(dashboard: Mapping[str, Any]) -> list[Panel]:
    """The panels with their variables filled in: all servers, and the interval of this Prometheus."""
    return [
        Panel(
            panel["title"],
            panel["type"],
            panel["fieldConfig"]["defaults"].get("unit", "short"),
            Place(**panel["gridPos"]),
            [
                (target["expr"].replace("$instance", ".*").replace("$__rate_interval", f"{RATE_SECONDS}s"), legend)
                for target in panel["targets"]
                for legend in [target.get("legendFormat", "")]
            ],
        )
        for panel in dashboard["panels"]
        if panel["type"] in ("stat", "timeseries")
    ]


# What happens to the server.


@asynccontextmanager
async def program(*command: str) -> AsyncIterator[None]:
    """A process that runs meanwhile."""
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=silent, stderr=silent)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def speak(url: str, audio: Samples) -> None:
    """A client that speaks in real time to the end, whatever becomes of its connections."""
    async with connect(url, sample_rate=SAMPLE_RATE) as stream:

        async def send() -> None:
            await play(stream, audio)
            await stream.finish()

        sending = asyncio.create_task(send())
        async for _ in stream:
            pass
        await sending


async def speakers(url: str, recording: Samples, streams: int, seconds: float) -> None:
    """They come one after the other in the first half, and stay."""

    async def one(number: int) -> None:
        begin = seconds / 2 * number / streams
        await asyncio.sleep(begin)
        rolled = np.roll(recording, -number * len(recording) // streams)
        audio = np.resize(rolled, round((seconds - begin) * SAMPLE_RATE))
        for _ in range(60):
            with suppress(RefusedError):  # a visitor may have the place for a moment
                return await speak(url, audio)
            await asyncio.sleep(1)

    await asyncio.gather(*(one(number) for number in range(streams)))


async def visitors(port: int, recording: bytes, seconds: float) -> None:
    """Recorded files at first; clients that ask for a language that is not there, later ones that find no room."""
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
        while (passed := time.monotonic() - began) < seconds:
            if passed < seconds / 3:
                await http.post("/v1/audio/transcriptions", files={"file": recording}, data={"model": "whisper-1"})
            with suppress(RefusedError, StreamFailedError):
                language = "xx" if passed < seconds / 2 else None
                async with connect(f"ws://127.0.0.1:{port}", sample_rate=SAMPLE_RATE, language=language) as stream:
                    await stream.finish()
            await asyncio.sleep(seconds / 24)


# What Prometheus saw.


def configuration(port: int) -> str:
    return f"""
global: {{scrape_interval: {SCRAPE_SECONDS}s}}
scrape_configs:
  - job_name: streaming-asr
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


async def curves(http: httpx.AsyncClient, panel: Panel, start: float, end: float) -> list[Curve]:
    """What Prometheus answers to the queries of a panel."""
    found: list[Curve] = []
    for query, legend in panel.queries:
        asked: dict[str, str | float] = {"query": query, "start": start, "end": end, "step": SCRAPE_SECONDS}
        answer = (await http.get("/api/v1/query_range", params=asked)).raise_for_status().json()
        for series in answer["data"]["result"]:
            points = [(at - start, float(value)) for at, value in series["values"] if math.isfinite(float(value))]
            found.append((named(legend, series["metric"]), points))
    return found


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A legend of Grafana's, filled in."""
    for label, value in labels.items():
        legend = legend.replace("{{" + label + "}}", value)
    return legend


# The picture.


def drawing(drawn: Sequence[tuple[Panel, Sequence[Curve]]], seconds: float) -> str:
    """All panels at their places, as the text of an SVG file."""
    height = max(panel.place.y + panel.place.h for panel, _ in drawn) * ROW
    size = f'viewBox="0 0 {24 * COLUMN} {height}"'
    parts = (part for panel, found in drawn for part in _panel(panel, found, seconds))
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11" fill="#333333">',
            f'<rect width="{24 * COLUMN}" height="{height}" fill="#f0f1f4"/>',
            *parts,
            "</svg>\n",
        )
    )


def _panel(panel: Panel, found: Sequence[Curve], seconds: float) -> Iterator[str]:
    place = panel.place
    width, height = place.w * COLUMN - GAP, place.h * ROW - GAP
    yield f'<g transform="translate({place.x * COLUMN + GAP / 2} {place.y * ROW + GAP / 2})">'
    yield f'<rect width="{width}" height="{height}" rx="3" fill="#ffffff" stroke="#dcdde2"/>'
    yield f'<text x="10" y="18" font-size="12" font-weight="bold">{escape(panel.title)}</text>'
    if panel.kind == "stat":
        last = [points[-1][1] for _, points in found if points]
        text = _value(last[0], panel.unit) if last else "No data"
        yield f'<text x="{width / 2}" y="{height / 2 + 22}" font-size="30" text-anchor="middle">{text}</text>'
    else:
        yield from _plot(panel, found, seconds, width, height)
    yield "</g>"


def _plot(panel: Panel, found: Sequence[Curve], seconds: float, width: float, height: float) -> Iterator[str]:
    left, top, bottom = 52, 30, height - 44
    highest = _round_up(max((value for _, points in found for _, value in points), default=1.0) or 1.0)

    def at(point: tuple[float, float]) -> str:
        return (
            f"{left + (width - left - 12) * point[0] / seconds:.1f},{bottom - (bottom - top) * point[1] / highest:.1f}"
        )

    for step in range(5):
        value = highest * step / 4
        _, y = at((0, value)).split(",")
        yield f'<line x1="{left}" x2="{width - 12}" y1="{y}" y2="{y}" stroke="#e6e7eb"/>'
        yield f'<text x="{left - 6}" y="{float(y) + 4}" text-anchor="end">{_value(value, panel.unit)}</text>'
    for minute in range(int(seconds // 60) + 1):
        x, _ = at((60 * minute, 0)).split(",")
        yield f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{minute} min</text>'
    column = left
    for place, (name, points) in enumerate(found):
        colour = COLOURS[place % len(COLOURS)]
        yield f'<polyline points="{" ".join(map(at, points))}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        yield f'<rect x="{column}" y="{height - 16}" width="10" height="3" fill="{colour}"/>'
        yield f'<text x="{column + 14}" y="{height - 11}">{escape(name)}</text>'
        column += 24 + 6 * len(name)


def _round_up(value: float) -> float:
    """The next greater number that makes four even steps."""
    power = math.pow(10, math.floor(math.log10(value)))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def _value(value: float, unit: str) -> str:
    if unit == "s" and value < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.3g}" + {"s": " s", "ops": "/s"}.get(unit, "")


async def record(options: argparse.Namespace) -> str:
    """Run server, Prometheus and clients; gives the picture."""
    port, watched, seconds = free_port(), free_port(), 60 * options.minutes
    wanted = panels(json.loads(DASHBOARD.read_text("utf-8")))
    server = (sys.executable, "-m", "streaming_asr.command_line", "serve", "--port", str(port))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prometheus.yml"
        file.write_text(configuration(port))
        watching = (
            f"--config.file={file}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{watched}",
        )
        async with (
            program(*server, "--max-streams", str(options.streams)),
            program(options.prometheus, *watching),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{watched}") as http,
        ):
            await until_ready(port)
            start, recording = time.time(), samples_of(RECORDING)
            budget = iter(np.random.default_rng(0).integers(500_000, 3_000_000, 10_000).tolist())
            async with cutting_network(port, lambda: next(budget)) as network:
                said = asyncio.create_task(speakers(network.url, recording, options.streams, seconds))
                await asyncio.gather(
                    visitors(port, RECORDING.read_bytes(), seconds - 2 * SCRAPE_SECONDS),
                    asyncio.sleep(seconds - SCRAPE_SECONDS),
                )
                drawn = [(panel, await curves(http, panel, start, start + seconds)) for panel in wanted]
                if not said.cancel():
                    said.result()
    return drawing(drawn, seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--prometheus", default="prometheus", help="the program")
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--streams", type=int, default=4)
    options = parser.parse_args(arguments)
    print_machine()
    options.picture.write_text(asyncio.run(record(options)), "utf-8")


if __name__ == "__main__":
    main()
