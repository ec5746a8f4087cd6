"""The tables of capacity follow from the measured parts, and the page has them as they are printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.capacity import (
    SHAPES,
    Load,
    cache_bytes,
    cores_beside_device,
    fleet,
    main,
    megabits,
    streams_per_core,
    streams_per_device,
)
from streaming_asr import Recognizer
from streaming_asr.latency import OFFLINE_MODEL_LATENCY, Latency

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"


def test_two_cores_carry_what_was_measured_on_them() -> None:
    assert 2 * streams_per_core(Load(encoder=0.016, overhead=0.017)) == pytest.approx(32, abs=0.5)


def test_who_is_silent_costs_the_overhead_alone() -> None:
    assert Load(encoder=4.0, overhead=0.01, speech=0.0).core_seconds == 0.01
    assert streams_per_core(Load(encoder=0.5, overhead=0.03, speech=0.4, fill=0.46)) == pytest.approx(2)


def test_a_device_that_takes_as_long_as_the_chunk_carries_its_batch() -> None:
    assert streams_per_device(1.28, 64, 1.28, speech=1.0, fill=1.0) == 64
    assert streams_per_device(0.64, 64, 1.28, speech=0.5, fill=0.5) == 128


def test_cores_beside_a_device_are_those_of_the_overhead() -> None:
    assert cores_beside_device(1_000, Load(encoder=9.0, overhead=0.01, fill=0.5)) == 20


def test_a_fleet_has_a_tenth_to_spare() -> None:
    assert fleet(1_000, Load(encoder=0.04, overhead=0.01, fill=0.5), 10) == (110, 11)


def test_a_caller_takes_a_quarter_of_a_megabit_and_headers() -> None:
    inward, outward = megabits(1)
    assert 0.256 < inward < 0.3
    assert outward < inward / 10


def seen_ms(latency: Latency) -> float:
    """Past audio that attention sees, with the sink."""
    assert latency.left_ms is not None
    assert latency.sink_ms is not None
    return latency.left_ms + latency.sink_ms


def test_the_shapes_are_those_of_the_models() -> None:
    with Recognizer.load() as recognizer:
        assert SHAPES["embedded"][2] * recognizer.encoder.hop / 16 == seen_ms(recognizer.latency)
    assert SHAPES["base"][2] * 20 == seen_ms(OFFLINE_MODEL_LATENCY)
    assert cache_bytes("base") == 2 * 12 * 768 * 520 * 4


def test_the_page_has_the_tables_as_they_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    page = PAGE.read_text("utf-8").splitlines()
    assert len(rows) > 10
    assert [row for row in rows if row not in page] == []
