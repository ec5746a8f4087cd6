"""Exit codes, and what becomes of errors: one line each, no traceback, for all that a user can mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import typer

from streaming_asr.errors import AudioError, CheckpointError, MissingExtraError, OptionError, StreamingAsrError

OK: Final = 0
FAILED: Final = 1
"""The work could not be done: a microphone was unplugged, a disk is full, a server went away."""
BAD_INPUT: Final = 2
"""The command asks for what cannot be: an unknown option, a file that is no audio, no such model."""
INTERRUPTED: Final = 130
"""Ctrl-C cut the work short; what was recognized until then has been printed."""

USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]
"""The root of typer's usage errors, found this way because it comes from click or, newer, from typer's own copy."""

_BAD_INPUT_ERRORS: Final = (AudioError, CheckpointError, MissingExtraError, OptionError, USAGE_ERROR)
MENDABLE: Final = (StreamingAsrError, OSError, USAGE_ERROR)
"""Errors that are told in one line; all others are faults of ours and keep their traceback."""


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    said = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    hint = f" (see: {context.command_path} --help)" if context is not None else ""
    return " ".join(f"{said or type(error).__name__}{hint}".split())


def exit_code(error: BaseException) -> int:
    """2 for what was asked wrongly, 1 for work that failed."""
    return BAD_INPUT if isinstance(error, _BAD_INPUT_ERRORS) else FAILED


def tell(error: BaseException) -> int:
    """Print the line of an error on standard error; returns its exit code."""
    with suppress(OSError):  # A terminal that was closed cannot be told anything.
        print(f"streaming-asr: {one_line(error)}", file=sys.stderr, flush=True)
    return exit_code(error)


class Failures:
    """Lets work on many inputs go on past the bad ones, and remembers the worst exit code."""

    def __init__(self) -> None:
        self.code = OK

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors inside are told, and are the end of this input only; a reader that left ends everything."""
        try:
            yield
        except BrokenPipeError:
            raise
        except MENDABLE as error:
            self.code = max(self.code, tell(error))
