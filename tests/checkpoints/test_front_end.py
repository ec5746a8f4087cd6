"""What is read of the two files that may describe the front end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streaming_asr.checkpoints.front_end import FrontEnd, read_front_end
from streaming_asr.errors import CheckpointError
from tests.checkpoints.checkpoint_folders import write_json


def test_without_a_file_audio_is_normalized_at_16_khz(tmp_path: Path) -> None:
    assert read_front_end(tmp_path) == FrontEnd(sampling_rate=16_000, normalize=True)


def test_the_older_file_is_read(tmp_path: Path) -> None:
    write_json(tmp_path, preprocessor_config={"sampling_rate": 16000, "do_normalize": False})
    assert read_front_end(tmp_path) == FrontEnd(normalize=False)


def test_the_newer_file_nests_its_options(tmp_path: Path) -> None:
    write_json(tmp_path, processor_config={"feature_extractor": {"do_normalize": False}, "processor_class": "x"})
    assert read_front_end(tmp_path) == FrontEnd(normalize=False)


def test_a_newer_file_may_be_silent_about_it(tmp_path: Path) -> None:
    write_json(tmp_path, processor_config={"processor_class": "x"})
    assert read_front_end(tmp_path) == FrontEnd()


def test_where_there_are_both_the_file_of_the_front_end_itself_counts(tmp_path: Path) -> None:
    write_json(tmp_path, preprocessor_config={"do_normalize": False}, processor_config={"feature_extractor": {}})
    assert read_front_end(tmp_path) == FrontEnd(normalize=False)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"preprocessor_config": {"sampling_rate": 8000}}, "sampling_rate is 8000"),
        ({"preprocessor_config": {"do_normalize": 1}}, "do_normalize is 1"),
        ({"processor_config": {"feature_extractor": []}}, r"feature_extractor is \[\]"),
        (
            {"processor_config": {"feature_extractor": {"sampling_rate": "fast"}}},
            "sampling_rate is 'fast'",
        ),
    ],
)
def test_impossible_values_are_named(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    write_json(tmp_path, **files)
    with pytest.raises(CheckpointError, match=message):
        read_front_end(tmp_path)
