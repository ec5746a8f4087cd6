"""Options come from the command line, the environment, a file, or their defaults."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import typer
from streaming_asr_server import command, logs
from streaming_asr_server.access.authentication import ApiKeys
from streaming_asr_server.settings import Settings, read_settings
from typer.testing import CliRunner

from streaming_asr.command_line.flattening import takes_options
from streaming_asr.errors import OptionError


def test_the_command_line_counts_first_then_the_environment_then_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('port = 1\nmax_streams = 1\nmodel = "file"\nallow_origin = ["a", "b"]\n')
    environment = {"STREAMING_ASR_PORT": "2", "STREAMING_ASR_MAX_STREAMS": "2", "OTHER_HOST": "no"}
    settings = read_settings({"port": 3, "host": None}, environment=environment, file=file)
    assert (settings.port, settings.max_streams, settings.model, settings.host) == (3, 2, "file", "127.0.0.1")
    assert settings.allow_origin == ("a", "b")


def test_every_option_can_stand_in_the_environment() -> None:
    texts = {
        "LOG_TEXT": "yes",
        "ALLOW_ORIGIN": "https://a,https://b",
        "RESUME_SECONDS": "1.5",
        "API_KEY_FILE": "/keys.toml",
        "PRECISION": "int8",
        "THREADS": "2",
    }
    settings = read_settings({}, environment={f"STREAMING_ASR_{name}": text for name, text in texts.items()})
    assert settings == Settings(
        log_text=True,
        allow_origin=("https://a", "https://b"),
        resume_seconds=1.5,
        api_key_file=Path("/keys.toml"),
        precision="int8",
        threads=2,
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"port": "many"}, "port is 'many'; it must be an integer"),
        ({"precision": "int4"}, "precision is 'int4'; it must be 'float32' or 'int8' or 'bfloat16'"),
        ({"log_text": "perhaps"}, "log_text is 'perhaps'"),
        ({"max_streams": 0}, "max_streams is 0"),
        ({"port": 65_536}, "port is 65536"),
        ({"idle_seconds": float("nan")}, "idle_seconds is nan"),
        ({"tls_cert": "cert.pem"}, "tls_cert and tls_key belong together"),
        ({"color": "blue"}, "there is no option 'color'"),
    ],
)
def test_a_wrong_option_is_explained(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        read_settings(given, environment={})


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nowhere"):
        read_settings({}, environment={}, file=tmp_path / "nowhere.toml")


def test_the_command_has_an_option_for_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is not started here: what it would be started with is looked at."""
    started: list[Settings] = []
    monkeypatch.setattr(command, "run_server", started.append)
    program = typer.Typer()
    serve = takes_options(command.serve)
    program.command()(serve)
    arguments = ["--port", "9", "--allow-origin", "a", "--allow-origin", "b", "--log-text", "--stall-seconds", "3"]
    result = CliRunner().invoke(program, arguments, env={"STREAMING_ASR_HOST": "::1"})
    assert result.exit_code == 0, result.output
    assert started == [Settings(port=9, allow_origin=("a", "b"), log_text=True, stall_seconds=3, host="::1")]
    assert set(Settings.__dataclass_fields__) - {"models"} <= set(serve.__annotations__)


def test_models_of_the_command_line_have_names_and_what_the_file_says_of_them(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        'precision = "int8"\n'
        '[models.english]\nhotwords = ["Streamwell"]\nprecision = "float32"\nmax_streams = 4\n'
        '[models.mms]\nmodel = "facebook/mms-1b-all"\nlanguages = ["fra", "deu"]\nload = "first_use"\n'
        "hotwords = {Bordeaux = 9.5}\nunload_seconds = 60\n"
    )
    settings = read_settings({"model": ["mms=folder", "french=other"]}, environment={}, file=file)
    english, mms, french = settings.served()
    assert (english.name, english.model, english.precision, english.max_streams) == ("english", None, "float32", 4)
    assert list(english.hotwords) == ["Streamwell"]
    assert (mms.model, mms.languages, mms.load, mms.unload_seconds) == ("folder", ("fra", "deu"), "first_use", 60)
    assert (mms.precision, mms.hotwords) == ("int8", {"Bordeaux": 9.5})
    assert (french.name, french.model, french.load) == ("french", "other", "start")
    variable = {"STREAMING_ASR_MODEL": "a=one,b=two"}
    assert [(one.name, one.model) for one in read_settings({}, environment=variable).served()] == [
        ("a", "one"),
        ("b", "two"),
    ]
    (only,) = read_settings({"model": ["./a=b"]}, environment=variable, file=file).served()
    assert (only.name, only.model) == ("./a=b", "./a=b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[models.a]\nspeed = 3\n", "there is no option 'speed'"),
        ("[models.a]\nprecision = 'int4'\n", "precision is 'int4'"),
        ("[models.a]\nmax_streams = 0\n", "max_streams of the model 'a' is 0; it must be 1 or more"),
        ("[models.a]\nhotwords = 3\n", "hotwords of the model 'a' are 3"),
        ("[models.'a b']\n", "models has 'a b'; a name is made of"),
        ("models = 'a'\n", "models is 'a'; it must be a table"),
        ("[models.a]\nvosk_port = 70000\n", "vosk_port of the model 'a' is 70000"),
    ],
)
def test_a_wrong_option_of_a_model_is_explained(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(OptionError, match=reason):
        read_settings({}, environment={}, file=file)


def test_of_several_models_each_needs_a_name() -> None:
    with pytest.raises(OptionError, match="model is 'two'; of several models each needs a name"):
        read_settings({"model": ["a=one", "two"]}, environment={})


def test_create_key_makes_a_key_that_the_server_takes(tmp_path: Path) -> None:
    program = typer.Typer()
    program.command()(command.create_key)
    result = CliRunner().invoke(program, ['the "news"', "--streams", "3"])
    assert result.exit_code == 0, result.output
    file = tmp_path / "keys.toml"
    file.write_text(result.output)
    key = result.output.splitlines()[0].removeprefix("# key: ")
    principal = ApiKeys.read(file).find(key)
    assert principal is not None
    assert (principal.name, principal.streams, principal.minutes) == ('the "news"', 3, None)


def test_a_log_line_is_one_json_object() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.Logger("here")
    logger.addHandler(handler)
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logger.exception("it %s", "failed", extra={"session": "s1"})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert {key: entry[key] for key in ("level", "logger", "message", "session")} == {
        "level": "error",
        "logger": "here",
        "message": "it failed",
        "session": "s1",
    }
    assert "ValueError: bad\nthing" in entry["exception"]
