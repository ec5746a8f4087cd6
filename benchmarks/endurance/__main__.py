"""Hours of audio, cuts, kills, nonsense, full disks, clocks that jump, a Redis that goes away: nothing may be lost.

    python -m benchmarks.endurance [PART …] [--minutes 10] [--state endurance.json] [--write docs/endurance.md]

Parts: cuts, kills, model, fuzz, disk, redis, clock; all of them, if none is named. Each runs `--minutes` at most (fuzz:
for all protocols together) and adds what it did to the state, so that the same command goes on where the last one
stopped, with the next seed. cuts: `--streams` of `--hours` each, a thousand cuts in all of them. kills: the same under
`--kills` SIGKILLs of the server. model: two streams of the embedded model, with cuts. Ends with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias

from streaming_asr_server.application import create_application
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings

from benchmarks.endurance.fuzz import PROTOCOLS, ErrorLog, Fuzzed, fuzz_asgi, fuzz_for, fuzz_wyoming
from benchmarks.endurance.memory import resident, slope
from benchmarks.endurance.outages import Outage, full_disk, jumping_clock, redis_away
from benchmarks.endurance.report import FRAMES, report
from benchmarks.endurance.streams import Plan, Result, run
from benchmarks.machine import describe, print_machine
from benchmarks.serving import free_port

State: TypeAlias = dict[str, Any]
CUTS: Final = 1_000


async def cuts(options: argparse.Namespace, seed: int) -> State:
    """Hours of audio in several streams over a network that cuts."""
    between = options.streams * options.hours * 3_600 / CUTS
    plan = Plan(streams=options.streams, hours=options.hours, minutes=options.minutes, seed=seed, cut_seconds=between)
    return _streams(await run(plan))


async def kills(options: argparse.Namespace, seed: int) -> State:
    """A server that is killed and comes back."""
    plan = Plan(
        streams=options.streams,
        hours=options.hours,
        minutes=options.minutes,
        seed=seed,
        cut_seconds=600,
        kill_seconds=2.0,
        kills=options.kills,
    )
    return _streams(await run(plan))


async def model(options: argparse.Namespace, seed: int) -> State:
    """The embedded model over a network that cuts; sessions go on, so each word is that of the undisturbed stream."""
    plan = Plan(streams=2, hours=options.hours, minutes=options.minutes, seed=seed, cut_seconds=30, model=True)
    return _streams(await run(plan))


def _streams(result: Result) -> State:
    return asdict(result)


async def fuzz(options: argparse.Namespace, seed: int) -> State:
    """A share of the time for each protocol; `seed` is where each goes on."""
    found: State = {}
    log, seconds = ErrorLog(), options.minutes * 60 / (len(PROTOCOLS) + 1)
    logging.getLogger().addHandler(log)
    settings = Settings(max_streams=64, wyoming_port=free_port(), start_seconds=5, idle_seconds=5, resume_seconds=0.05)
    recognition = ScriptedRecognition()
    async with local_server(lambda: recognition, settings) as server:
        application = create_application(server.service)
        samples: list[tuple[float, float]] = []
        runs: dict[str, Callable[[int], Any]] = {
            name: lambda seed, protocol=protocol: fuzz_asgi(application, protocol, seed, log)  # type: ignore[misc]
            for name, protocol in PROTOCOLS.items()
        }
        runs["Wyoming"] = lambda seed: fuzz_wyoming(settings.wyoming_port or 0, seed, log)
        for name, one in runs.items():
            fuzzed = Fuzzed(seed=seed)
            steps = 20
            for _ in range(steps):
                await fuzz_for(seconds / steps, FRAMES, fuzzed, one)
                recognition.streams.clear()  # it keeps all of them, for tests
                samples.append(
                    (sum(entry["frames"] for entry in found.values()) + fuzzed.frames, resident(os.getpid()))
                )
            found[name] = asdict(fuzzed)
    return {"protocols": found, "slope": slope(samples) * 1e6}


async def disk(options: argparse.Namespace, seed: int) -> State:
    return _outage(await full_disk(options.minutes * 60, seed))


async def redis(options: argparse.Namespace, seed: int) -> State:
    return _outage(await redis_away(options.minutes * 60, seed))


async def clock(options: argparse.Namespace, seed: int) -> State:
    return _outage(await jumping_clock(options.minutes * 60, seed))


def _outage(outage: Outage) -> State:
    return asdict(outage) | {"refusals": sorted(outage.refusals)}


PARTS: Final[Mapping[str, Callable[[argparse.Namespace, int], Coroutine[Any, Any, State]]]] = {
    "cuts": cuts,
    "kills": kills,
    "model": model,
    "fuzz": fuzz,
    "disk": disk,
    "redis": redis,
    "clock": clock,
}


def next_seed(state: State, part: str) -> int:
    """The first seed that this part has not used."""
    runs = state.get(part, [])
    if part == "fuzz":
        return max((entry["seed"] for each in runs for entry in each["protocols"].values()), default=0)
    return len(runs)


def lost(outcome: State) -> list[str]:
    """What was not as it should be."""
    found = list(outcome.get("tally", {}).get("wrong", []))
    for entry in outcome.get("protocols", {}).values():
        found += entry["failures"]
    if outcome.get("after", "taken") != "taken":
        found.append(f"after all of it, a new stream was answered {outcome['after']}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="endurance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--state", type=Path, default=Path("endurance.json"))
    parser.add_argument("--write", type=Path, help="put the table of all that was done so far into this page")
    options = parser.parse_args(arguments)
    # Not `parts or all`: with --write alone, only the page is written.
    parts = options.parts or ([] if options.write else list(PARTS))
    print_machine()
    logging.getLogger("streaming_asr_server").setLevel(logging.ERROR)
    wrong = []
    for part in parts:
        state: State = json.loads(options.state.read_text("utf-8")) if options.state.exists() else {}
        seed = next_seed(state, part)
        outcome = asyncio.run(PARTS[part](options, seed))
        state.setdefault(part, []).append({"part_seed": seed, **outcome})
        state["machine"] = describe()
        options.state.write_text(json.dumps(state, indent=1), "utf-8")
        problems = lost(outcome)
        wrong += problems
        shown = {name: value for name, value in outcome.items() if name != "protocols"}
        print(part, json.dumps(shown)[:400], flush=True)
        print(*(f"  LOST {problem}" for problem in problems[:10]), sep="\n", flush=True)
    if options.write is not None:
        page = options.write.read_text("utf-8")
        options.write.write_text(report(json.loads(options.state.read_text("utf-8")), page), "utf-8")
    return min(1, len(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
