"""What the options mean to the library."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import get_type_hints

import pytest

from streaming_asr.audio.gate import GateOptions
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions, parse_hotwords
from streaming_asr.command_line.recognizers import local_arguments, open_recognizer, remote_arguments
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import OptionError


@pytest.mark.parametrize(
    ("arguments", "hotwords"),
    [
        ([], None),
        (["Ada", "Mary Ann"], ["Ada", "Mary Ann"]),
        (["Streamwell:8", "Ada:2.5"], {"Streamwell": 8.0, "Ada": 2.5}),
        (["Streamwell:8", "Ada"], {"Streamwell": 8.0, "Ada": 10.0}),
        (["10:30"], ["10:30"]),
        (["10:30:8"], {"10:30": 8.0}),
    ],
)
def test_hotwords_have_weights_where_they_are_given(arguments: list[str], hotwords: object) -> None:
    assert parse_hotwords(arguments) == hotwords


@pytest.mark.parametrize("argument", ["", "  ", ":8", "Ada:", "Ada:much", "Ada:-1", "Ada:inf"])
def test_a_hotword_that_cannot_be_meant_is_refused_and_named(argument: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"'{argument}'")):
        parse_hotwords([argument])


def test_what_is_not_given_is_left_to_the_library() -> None:
    arguments = local_arguments(RecognitionOptions())
    assert arguments["endpoint"] == EndpointOptions()
    assert arguments["gate"] == GateOptions()
    assert {"hotwords", "beam_width", "alternatives"}.isdisjoint(arguments)


def test_endpoint_rules_and_gate_reach_the_library_and_zero_switches_a_rule_off() -> None:
    arguments = local_arguments(
        RecognitionOptions(end_silence=500, end_length=0, gate=False, gate_window=200, chunk=320)
    )
    assert arguments["endpoint"] == EndpointOptions(trailing_silence_ms=500, maximum_length_ms=None)
    assert arguments["gate"] == GateOptions(enabled=False, window_ms=200)
    assert arguments["latency"].chunk_ms == 320


def test_the_defaults_that_the_help_shows_are_those_of_the_library() -> None:
    shown = {
        field.name: hint.__metadata__[0].show_default
        for field, hint in zip(
            fields(RecognitionOptions), get_type_hints(RecognitionOptions, include_extras=True).values(), strict=True
        )
    }
    gate, endpoint = GateOptions(), EndpointOptions()
    assert shown.pop("gate_detector") == gate.detector
    assert {name: float(shown[name]) for name in shown if name.startswith(("end_", "gate_"))} == {
        "end_silence": endpoint.trailing_silence_ms,
        "end_no_words": endpoint.no_words_ms,
        "end_length": endpoint.maximum_length_ms,
        "gate_aggressiveness": gate.aggressiveness,
        "gate_window": gate.window_ms,
        "gate_share": gate.start_share,
        "gate_hangover": gate.hangover_ms,
        "gate_pre_roll": gate.pre_roll_ms,
    }


def test_a_server_is_told_rules_in_plain_values() -> None:
    options = RecognitionOptions(hotword=["Ada:3"], end_silence=500, alternatives=2)
    assert remote_arguments(options, language="en") == {
        "hotwords": {"Ada": 3.0},
        "alternatives": 2,
        "language": "en",
        "endpoint": EndpointOptions(trailing_silence_ms=500),
    }


@pytest.mark.parametrize(
    "options", [RecognitionOptions(chunk=320), RecognitionOptions(gate=False), RecognitionOptions(beam_width=2)]
)
def test_how_a_server_computes_is_not_the_clients_to_say(options: RecognitionOptions) -> None:
    with pytest.raises(OptionError, match="server's to choose"):
        remote_arguments(options, language=None)


def test_no_language_model_is_said_as_none() -> None:
    assert ModelOptions(lm="none").load_arguments()["language_model"] is None
    assert ModelOptions().load_arguments()["language_model"] == "auto"


def test_a_server_and_a_model_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="exclude each other"):
        open_recognizer(ModelOptions(server="ws://localhost:1", model="some/model"), RecognitionOptions())


def test_a_server_is_named_by_a_websocket_address() -> None:
    with pytest.raises(OptionError, match="ws://localhost"):
        open_recognizer(ModelOptions(server="localhost:8765"), RecognitionOptions())
