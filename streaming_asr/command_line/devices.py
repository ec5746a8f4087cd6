"""`streaming-asr devices`: the microphones of this machine."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from streaming_asr.audio.microphone import InputDevice
from streaming_asr.audio.microphone import devices as input_devices
from streaming_asr.command_line.terminals import announce


def devices() -> None:
    """List the microphones; the one with the star is used when none is chosen.

    Choose another by its index or part of its name:  streaming-asr listen --microphone 3
    """
    found = input_devices()
    if found:
        Console(highlight=False).print(listing(found))
    else:
        announce("streaming-asr: no recording device was found; plug in a microphone")


def listing(found: Sequence[InputDevice]) -> Table:
    """One line for each device."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("", no_wrap=True)
    table.add_column("index", justify="right", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("through", no_wrap=True)
    table.add_column("channels", justify="right", no_wrap=True)
    table.add_column("rate", justify="right", no_wrap=True)
    for device in found:
        table.add_row(
            "*" if device.default else "",
            str(device.index),
            device.name,
            device.host,
            str(device.channels),
            f"{device.sample_rate} Hz",
        )
    return table
