"""Commands of other packages, found by entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import typer

from streaming_asr.command_line.flattening import takes_options
from streaming_asr.errors import MissingExtraError

COMMANDS: Final = "streaming_asr.commands"
"""Entry points, named as the command is; each is a function with typer's annotations, or a `typer.Typer`."""


def add_commands(program: typer.Typer) -> None:
    """Add every installed command; one whose packages are missing says, when called, which line installs them."""
    for entry in sorted(entry_points(group=COMMANDS), key=lambda entry: entry.name):
        _add(program, entry.name, load(entry))


def _add(program: typer.Typer, name: str, command: Any) -> None:
    if isinstance(command, typer.Typer):
        program.add_typer(command, name=name)
    else:
        program.command(name)(takes_options(command))


def load(entry: EntryPoint) -> Any:
    """The command behind an entry point, or one that says which packages it needs."""
    try:
        return entry.load()
    except (MissingExtraError, ModuleNotFoundError) as error:
        return _explaining(entry, error)


def _explaining(entry: EntryPoint, error: ImportError) -> Callable[[], None]:
    """A command that stands in for one that cannot be imported."""
    extra = error.extra if isinstance(error, MissingExtraError) else (entry.extras or ["all"])[0]
    missing = MissingExtraError(f"the command '{entry.name}'", extra)

    def explain() -> None:
        raise missing from error

    explain.__doc__ = f"Needs the extra '{extra}'."
    return explain
