from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.accuracy import context_of, log_probabilities, measure, read_sets, searched
from streaming_asr.checkpoints.embedded import embedded_folder
from streaming_asr.decoding import Alphabet
from streaming_asr.model import Context, Encoder
from training.evaluation_sets import Example


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(embedded_folder())


def test_rates_are_measured_by_set_whatever_the_case() -> None:
    sets = {
        "one": [Example(np.zeros(16_000, np.float32), "A B"), Example(np.ones(16_000, np.float32), "C D")],
        "other": [Example(np.zeros(16_000, np.float32), "A B C D")],
    }
    row = measure("always the same", lambda samples: "a, b", sets)
    assert row.rates == {"one": 0.5, "other": 0.5, "all": 0.5}
    assert row.real_time_factor >= 0


def test_milliseconds_become_frames_of_the_model(encoder: Encoder) -> None:
    assert context_of(encoder, 640, 320) == Context(chunk=16, lookahead=8, left=160, sinks=8)


def test_every_way_gives_a_row_of_probabilities_per_frame(encoder: Encoder) -> None:
    samples = soundfile.read(embedded_folder().parent / "demo.flac", dtype="float32")[0][:48_000]
    whole, chunked = (log_probabilities(encoder, samples, way) for way in (None, (640.0, 320.0)))
    assert whole.shape == chunked.shape == (encoder.config.frames(48_000), len(encoder.labels))
    np.testing.assert_allclose(np.exp(whole).sum(1), 1.0, atol=1e-6)
    assert len(searched(whole, Alphabet(encoder.labels), None).split()) >= 5


def test_the_part_dev_of_a_manifest_is_read_with_what_is_derived_from_it(tmp_path: Path) -> None:
    (tmp_path / "kind").mkdir()
    rows = ""
    for number in range(8):
        soundfile.write(tmp_path / "kind" / f"{number}.wav", np.full(1600 + number, 0.1), 16_000)
        rows += f"kind/{number}.wav\t0.1\ts\t{'train' if number == 0 else 'dev'}\tWord {'abcdefgh'[number]}\n"
    (tmp_path / "manifest.tsv").write_text("path\tduration\tspeaker\tpart\ttranscript\n" + rows)
    sets = read_sets(tmp_path / "manifest.tsv", None, limit=5)
    assert {name: len(examples) for name, examples in sets.items()} == {"kind": 5, "telephone band": 2}
