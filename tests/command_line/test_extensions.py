"""Commands of other packages."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated

import pytest
import typer

from streaming_asr.command_line.extensions import load
from streaming_asr.command_line.flattening import takes_options
from streaming_asr.errors import MissingExtraError


@dataclass(frozen=True, kw_only=True)
class Greeting:
    name: Annotated[str, typer.Option(help="Whom to greet.")] = "you"
    times: Annotated[int, typer.Option(min=1)] = 1


def greet(word: Annotated[str, typer.Argument()], greeting: Greeting) -> None:
    """Say a word."""
    print(f"{word} {greeting.name}" * greeting.times)


def program() -> typer.Typer:
    app = typer.Typer()
    app.command()(takes_options(greet))
    return app


def test_a_dataclass_of_options_becomes_options(capsys: pytest.CaptureFixture[str]) -> None:
    program()(["hello", "--name", "Ada", "--times", "2"], standalone_mode=False)
    assert capsys.readouterr().out == "hello Adahello Ada\n"


def test_options_that_are_not_given_have_the_dataclass_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    program()(["hello"], standalone_mode=False)
    assert capsys.readouterr().out == "hello you\n"


def test_the_help_of_a_command_is_its_docstring() -> None:
    assert takes_options(greet).__doc__ == "Say a word."


def test_an_installed_command_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greeting_package.py").write_text("def hello() -> None:\n    print('hello')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    command = load(EntryPoint("hello", "greeting_package:hello", "streaming_asr.commands"))
    assert command.__name__ == "hello"
    del sys.modules["greeting_package"]


def test_a_command_whose_packages_are_missing_tells_the_line_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy_package.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    command = load(EntryPoint("serve", "needy_package:serve [server]", "streaming_asr.commands"))
    with pytest.raises(MissingExtraError, match=r"pip install 'streaming-asr\[server\]'"):
        command()
