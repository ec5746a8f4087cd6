"""The table of what was done so far, for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

FRAMES: Final = 1_000_000
"""Of each protocol."""

_BEGIN: Final = "<!-- results -->\n"
_END: Final = "<!-- end of results -->\n"

_NAMES: Final[Mapping[str, str]] = {
    "cuts": "audio over a network that cuts",
    "kills": "a server that is killed",
    "model": "the embedded model, with cuts",
    "disk": "the ledger's disk is full",
    "redis": "the ledger's Redis is killed",
    "clock": "the time of day jumps",
}


def report(state: Mapping[str, Any], page: str) -> str:
    """The page with its table between the marks made anew."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = ["| Part | Done | Lost | Memory |", "|---|---|---|---|"]
    lines += [_stream_row(part, state[part]) for part in ("cuts", "kills", "model") if part in state]
    lines += [_outage_row(part, state[part]) for part in ("disk", "redis", "clock") if part in state]
    if "fuzz" in state:
        lines += _fuzz_rows(state["fuzz"])
    machine = "\n".join(state.get("machine", ()))
    return f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n\n```\n{machine}\n```\n\n{_END}{after}"


def _stream_row(part: str, runs: Sequence[Mapping[str, Any]]) -> str:
    hours = sum(run["tally"]["audio_seconds"] for run in runs) / 3_600
    longest = max(run["tally"]["longest_stream"] for run in runs) / 3_600
    words = sum(run["tally"]["words"] for run in runs)
    done = f"{hours:.1f} h of audio, the longest stream {longest:.2f} h, {words:,} words, "
    done += f"{sum(run['cuts'] for run in runs):,} cuts"
    kills = sum(run["kills"] for run in runs)
    if kills:
        done += f", {kills} SIGKILLs"
        memory = "not measured: each server lives for seconds"
    else:
        last = runs[-1]
        memory = f"{last['server_memory']:.0f} MiB, {last['server_slope']:+.2f} MiB per hour of audio"
    return f"| {_NAMES[part]} | {done} | {sum(len(run['tally']['wrong']) for run in runs)} | {memory} |"


def _outage_row(part: str, runs: Sequence[Mapping[str, Any]]) -> str:
    hours = sum(run["tally"]["audio_seconds"] for run in runs) / 3_600
    told = sorted({refusal for run in runs for refusal in run["refusals"]})
    done = (
        f"{sum(run['times'] for run in runs)} times in {hours:.1f} h of audio; new streams meanwhile: {', '.join(told)}"
    )
    return f"| {_NAMES[part]} | {done} | {sum(len(run['tally']['wrong']) for run in runs)} | |"


def _fuzz_rows(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for name in runs[0]["protocols"]:
        entries = [run["protocols"][name] for run in runs]
        frames = sum(entry["frames"] for entry in entries)
        connections = sum(entry["connections"] for entry in entries)
        failures = sum(len(entry["failures"]) for entry in entries)
        done = f"{frames:,} damaged and disordered frames in {connections:,} connections"
        rows.append(f"| {name} | {done} | {failures} | |")
    # Over few frames a line shows little but the warming up.
    most = max(runs, key=lambda run: sum(entry["frames"] for entry in run["protocols"].values()))
    return [*rows, f"| all protocols | | | {most['slope']:+.1f} MiB per million frames |"]
