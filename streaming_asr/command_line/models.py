"""`streaming-asr models`: which checkpoints are here, and what a checkpoint is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streaming_asr.errors import CheckpointError, MissingExtraError

if TYPE_CHECKING:
    from streaming_asr.checkpoints.description import Description


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="A hub name or a folder to look into.", show_default="list what is here"),
    ] = None,
    revision: Annotated[str | None, typer.Option(metavar="REV", help="Branch, tag or commit on the hub.")] = None,
) -> None:
    """List the models on this machine, or say what a checkpoint is and whether it can be used.

    Any wav2vec2-like CTC checkpoint works: wav2vec2, XLSR, XLS-R, MMS, HuBERT, UniSpeech, WavLM, data2vec. Of a hub
    model only the small files are fetched to describe it.

    Examples:

      streaming-asr models

      streaming-asr models facebook/wav2vec2-large-xlsr-53-french
    """
    try:
        from streaming_asr.checkpoints.description import cached_models, describe
    except ModuleNotFoundError as error:
        raise MissingExtraError("looking into models", "recognizer") from error
    console = Console(highlight=False)
    if name is None:
        console.print(listing([describe(), *cached_models()]))
        return
    description = describe(name, revision=revision)
    console.print(details(description), soft_wrap=True)
    if description.refusal is not None:
        raise CheckpointError(description.refusal)


def listing(descriptions: Sequence[Description]) -> Table:
    """One line for each model."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("model", overflow="fold")
    for heading in ("family", "parameters", "frame", "language model"):
        table.add_column(heading, no_wrap=True)
    for description in descriptions:
        table.add_row(
            description.name,
            description.family or "?",
            _parameters(description),
            _frame(description),
            "yes" if description.language_model else "no",
        )
    return table


def details(description: Description) -> Table:
    """All there is to say about one model."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _facts(description):
        table.add_row(fact, value)
    return table


def _facts(description: Description) -> Iterator[tuple[str, str]]:
    yield "model", description.name
    yield "folder", str(description.folder)
    yield "family", description.family or "unknown"
    yield "parameters", _parameters(description)
    yield "frame", _frame(description)
    yield "alphabet", f"{description.vocabulary} labels" if description.vocabulary else "unknown"
    yield "languages", _languages(description.languages)
    yield "language model", "yes" if description.language_model else "no"
    yield "on this disk", f"{description.size / 1e6:.1f} MB" if description.size else "not downloaded yet"
    yield "usable", "yes, live and from files" if description.refusal is None else "no"


def _parameters(description: Description) -> str:
    return "?" if description.parameters is None else f"{description.parameters / 1e6:.1f} M"


def _frame(description: Description) -> str:
    return "?" if description.frame_ms is None else f"{description.frame_ms:g} ms"


def _languages(languages: Sequence[str]) -> str:
    if not languages:
        return "one; its card says which"
    shown = ", ".join(languages[:12])
    return shown if len(languages) <= 12 else f"{shown} and {len(languages) - 12} more (choose with --language)"
