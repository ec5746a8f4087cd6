"""`streaming-asr models`: which checkpoints are here, and what a checkpoint is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streaming_asr.checkpoints.recommended import Recommendation, recommended, recommended_for
from streaming_asr.errors import CheckpointError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from streaming_asr.checkpoints.description import Description


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="A hub name or a folder to look into.", show_default="list what is here"),
    ] = None,
    revision: Annotated[str | None, typer.Option(metavar="REV", help="Branch, tag or commit on the hub.")] = None,
    recommend: Annotated[
        bool, typer.Option("--recommended", help="List well-known checkpoints of the hub, with their published errors.")
    ] = False,
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only those of this language: fr, French (with --recommended).")
    ] = None,
) -> None:
    """List the models on this machine, or say what a checkpoint is and whether it can be used.

    Any wav2vec2-like CTC checkpoint works: wav2vec2, XLSR, XLS-R, MMS, HuBERT, UniSpeech, WavLM, data2vec. Of a hub
    model only the small files are fetched to describe it. Of recommended ones it shows the word errors that their pages
    publish, without / with a language model, and the memory of the weights in float32.

    Examples:

      streaming-asr models

      streaming-asr models facebook/wav2vec2-large-xlsr-53-french

      streaming-asr models --recommended --language fr
    """
    console = Console(highlight=False)
    if recommend or language is not None:
        _check_alone(name, revision, recommend)
        chosen = recommended() if language is None else recommended_for(language)
        console.print("\n".join(recommendations(chosen)), soft_wrap=True)
        return
    try:
        from streaming_asr.checkpoints.description import cached_models, describe
    except ModuleNotFoundError as error:
        raise MissingExtraError("looking into models", "recognizer") from error
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


def recommendations(models: Sequence[Recommendation]) -> Iterator[str]:
    """The name of each recommended model on a line of its own, so that it can be copied, and its facts below it."""
    for model in models:
        errors = f"word errors {published_errors(model)} on {model.test_set}" if model.test_set else ""
        size = f"{model.size.parameters / 1e6:.0f} M, {model.size.gigabytes:.1f} GB"
        facts = (model.language, size, errors, model.licence)
        yield model.name
        yield f"    {', '.join(fact for fact in facts if fact)}"


def published_errors(model: Recommendation) -> str:
    """Word error rates without and with a language model, as far as they were published: `17.65 / 13.59 %`."""
    rates = ["-" if rate is None else f"{rate:g}" for rate in (model.greedy, model.with_lm)]
    return f"{rates[0]} %" if model.with_lm is None else f"{rates[0]} / {rates[1]} %"


def details(description: Description) -> Table:
    """All there is to say about one model."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _facts(description):
        table.add_row(fact, value)
    return table


def _check_alone(name: str | None, revision: str | None, recommend: bool) -> None:
    if not recommend:
        raise OptionError("--language chooses among recommended models; write models --recommended --language CODE")
    given = name or revision
    if given is not None:
        raise OptionError(f"--recommended lists models of the hub and takes no model; leave out '{given}'")


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
