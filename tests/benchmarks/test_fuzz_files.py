"""Damaged recordings in every container: audio, or one error."""

from __future__ import annotations

import pytest

from benchmarks.fuzz_files import CONTAINERS, Outcome, case, read, recordings, run


def test_damaged_recordings_give_audio_or_one_error() -> None:
    pytest.importorskip("av")
    assert run(0, 60, 1.0) == []


def test_every_container_holds_the_recording_before_it_is_damaged() -> None:
    pytest.importorskip("av")
    files = recordings(1.0)
    assert list(files) == list(CONTAINERS)
    assert {name: round(read(data, piped=False).audio) for name, data in files.items()} == dict.fromkeys(files, 1)


def test_a_case_is_the_same_every_time() -> None:
    files = {"one": bytes(range(250)), "two": b"abc" * 100}
    assert [case(seed, files) for seed in range(20)] == [case(seed, files) for seed in range(20)]


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (Outcome(1.0, "", 0.1), ""),
        (Outcome(0.0, "it is empty", 0.1), ""),
        (Outcome(0.0, "", 0.1), "gave nothing and said nothing"),
        (Outcome(1.0, "", 11.0), "took 11.0 s"),
        (Outcome(0.0, "one\ntwo", 0.1), "an error of several lines"),
    ],
)
def test_what_counts_as_a_fault(outcome: Outcome, fault: str) -> None:
    assert outcome.fault == fault
