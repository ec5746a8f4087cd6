"""How checkpoints are listed and described."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from streaming_asr.checkpoints.description import Description
from streaming_asr.checkpoints.recommended import recommended, recommended_for
from streaming_asr.command_line.application import run
from streaming_asr.command_line.models import details, listing

MMS = Description(
    name="facebook/mms-1b-all",
    folder=Path("/cache/mms"),
    family="wav2vec2",
    parameters=964_900_000,
    languages=tuple(f"l{number:02}" for number in range(20)),
    hop=320,
    vocabulary=154,
    size=3_860_000_000,
    language_model=False,
    refusal=None,
)
BROKEN = Description("broken", Path("/b"), None, None, (), None, None, 0, False, "broken: has no weights")


def rendered(table: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_list_has_one_line_for_each_model() -> None:
    assert rendered(listing([MMS, BROKEN])) == [
        "model family parameters frame language model",
        "facebook/mms-1b-all wav2vec2 964.9 M 20 ms no",
        "broken ? ? ? no",
    ]


def test_details_tell_units_and_languages() -> None:
    lines = rendered(details(MMS))
    assert "frame 20 ms" in lines
    assert "on this disk 3860.0 MB" in lines
    assert "and 8 more (choose with --language)" in " ".join(lines)
    assert lines[-1] == "usable yes, live and from files"


def test_a_checkpoint_that_cannot_be_used_is_described_as_far_as_it_tells() -> None:
    lines = rendered(details(BROKEN))
    assert "family unknown" in lines
    assert "on this disk not downloaded yet" in lines
    assert lines[-1] == "usable no"


def test_recommended_models_of_a_language_stand_before_those_of_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--recommended", "--language", "fr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "jonatasgrosman/wav2vec2-large-xlsr-53-french",
        "    French, 316 M, 1.3 GB, word errors 17.65 / 13.59 % on Common Voice 6 fr, Apache-2.0",
    ]
    assert lines[-2:] == ["facebook/mms-1b-all", "    1,162 languages, 962 M, 3.9 GB, CC BY-NC 4.0"]


@pytest.mark.parametrize("language", ["fr", "fra", "fr-CA", "fr_FR", "FR", "French"])
def test_a_language_is_found_by_code_region_and_name(language: str) -> None:
    assert {model.language for model in recommended_for(language)} == {"French", "1,162 languages"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--recommended", "--language", "xx"], "'xx'; there are de, en, "),
        (["--language", "fr"], "models --recommended --language CODE"),
        (["english", "--recommended"], "leave out 'english'"),
    ],
)
def test_what_cannot_be_recommended_is_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_each_recommendation_names_a_hub_model_and_where_its_figures_are_from() -> None:
    models = recommended()
    assert len({model.name for model in models}) == len(models)
    for model in models:
        assert re.fullmatch(r"[\w-]+/[\w.-]+", model.name)
        assert model.source.endswith(model.name)
        assert all(re.fullmatch("[a-z]{2,3}", code) for code in model.codes)
        assert (model.test_set is None) == (model.greedy is None and model.with_lm is None)
        assert all(rate is None or 0 < rate < 100 for rate in (model.greedy, model.with_lm))
