from __future__ import annotations

import pytest

from training.configuration import RunOptions
from training.schedule import Schedule


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    schedule = Schedule.plan(RunOptions("x", steps=100), started=0.0)
    assert schedule.rate(0, 1.0, 10) == pytest.approx(0.1)
    assert schedule.rate(50, 1.0, 10) == pytest.approx(0.5)
    assert schedule.rate(100, 1.0, 10) == pytest.approx(0.0)


def test_a_run_by_the_clock_ends_when_its_time_is_up() -> None:
    now = [1000.0]
    planned = Schedule.plan(RunOptions("x", minutes=10), started=1000.0)
    schedule = Schedule(planned.steps, planned.started, planned.ends, clock=lambda: now[0])
    assert schedule.progress(12345) == 0.0
    now[0] = 1300.0
    assert schedule.progress(0) == pytest.approx(0.5)
    now[0] = 1601.0
    assert schedule.progress(0) == 1.0


def test_a_run_until_an_hour_of_the_day_may_pass_midnight() -> None:
    schedule = Schedule.plan(RunOptions("x", until="00:00"), started=1_700_000_000.0)
    assert 0 < schedule.ends - schedule.started <= 86_400


def test_a_run_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="steps, minutes or until"):
        Schedule.plan(RunOptions("x"), started=0.0)
