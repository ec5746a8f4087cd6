"""The program: its commands, those of other packages, and its exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

import typer

from streaming_asr.command_line.bench import bench
from streaming_asr.command_line.demo import demo
from streaming_asr.command_line.devices import devices
from streaming_asr.command_line.extensions import add_commands
from streaming_asr.command_line.failures import FAILED, INTERRUPTED, MENDABLE, OK, tell
from streaming_asr.command_line.flattening import takes_options
from streaming_asr.command_line.listen import listen
from streaming_asr.command_line.models import models
from streaming_asr.command_line.transcribe import transcribe

HELP: Final = """Live speech recognition: audio in, stable words out.

Start here:

  streaming-asr demo                  watch a recording turn into live captions

  streaming-asr listen                the same with your microphone

  streaming-asr transcribe talk.mp3   a file to text

The transcript goes to standard output, everything else to standard error.

Exit codes: 0 done, 1 the work failed, 2 bad input or usage, 130 cut short by Ctrl-C (128 and the signal's number).
"""


def application() -> typer.Typer:
    """The program with all commands that are installed."""
    program = typer.Typer(
        name="streaming-asr",
        help=HELP,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in (demo, transcribe, listen, devices, models, bench):
        program.command()(takes_options(command))
    add_commands(program)
    return program


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code. An error that a user can mend is one line, no traceback."""
    _prepare_streams()
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    try:
        sys.stdout.flush()
    except OSError as error:
        _abandon_output()
        return code if isinstance(error, BrokenPipeError) else max(code, tell(error))
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        result = application()(arguments or ["--help"], prog_name="streaming-asr", standalone_mode=False)
    except typer.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_output()
        return FAILED
    except MENDABLE as error:
        return tell(error)
    return result if isinstance(result, int) else OK


def _prepare_streams() -> None:
    """Closed streams lead nowhere; what an encoding cannot say, such as a name that is no UTF-8, becomes an escape."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _abandon_output() -> None:
    """The reader of our output has left (`| head`), or there is no room; nothing more is written, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
