"""Who takes the next connection, and what the whole says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from streaming_asr_server.access.admission import Readiness
from streaming_asr_server.workers.board import Board, Row, patience, status_of_all
from streaming_asr_server.workers.restarts import LONGEST_SECONDS, Restarts

READY, STARTING, DRAINING = Readiness.READY, Readiness.STARTING, Readiness.DRAINING


def test_every_worker_sees_the_rows_of_all(tmp_path: Path) -> None:
    file = tmp_path / "board"
    first, second = Board.create(file, 3), Board(file, 3)
    first.put(0, Row(READY, 5, 27))
    second.put(2, Row(DRAINING, 1, -1))
    assert first.rows == second.rows == [Row(READY, 5, 27), None, Row(DRAINING, 1, -1)]
    assert first.others(0) == [Row(DRAINING, 1, -1)]
    first.put(2, None)
    assert second.others(0) == []


@pytest.mark.parametrize(
    ("own", "others", "waits"),
    [
        (Row(READY, 0, 32), [Row(READY, 9, 23)], False),
        (Row(READY, 9, 23), [Row(READY, 9, 23)], False),
        (Row(READY, 9, 23), [], False),
        (Row(READY, 9, 23), [Row(STARTING, 0, 32)], False),
        (Row(READY, 9, 23), [Row(READY, 0, 0)], False),
        (Row(READY, 9, 23), [Row(READY, 20, 1), Row(READY, 8, 24)], True),
        (Row(READY, 32, 0), [Row(READY, 31, 1)], True),
        (Row(STARTING, 0, 32), [Row(READY, 31, 1)], True),
        (Row(DRAINING, 0, 32), [Row(DRAINING, 3, 29)], False),
    ],
)
def test_a_connection_is_left_to_who_has_less_to_do(own: Row, others: list[Row], waits: bool) -> None:
    assert (patience(own, others) > 0) is waits
    assert patience(own, others) < 1, "one that stands still is not waited for"


def test_the_whole_is_ready_when_one_is() -> None:
    assert status_of_all("starting", [Row(READY, 3, 1)]) == "ready"
    assert status_of_all("full", [Row(READY, 3, 0), Row(STARTING, 0, 9)]) == "full"
    assert status_of_all("ready", []) == "ready"
    assert status_of_all("draining", [Row(DRAINING, 3, 5)]) == "draining"


def test_a_worker_that_dies_at_once_is_started_again_later_each_time_and_at_last_given_up() -> None:
    restarts = Restarts()
    delays = [restarts.delay(ready_seconds=0.0) for _ in range(4)]
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]
    assert not restarts.hopeless
    restarts.delay(ready_seconds=0.1)
    assert restarts.hopeless
    assert max(restarts.delay(ready_seconds=0.0) for _ in range(50)) == LONGEST_SECONDS


def test_a_worker_that_has_served_for_long_is_started_again_at_once() -> None:
    restarts = Restarts()
    first = restarts.delay(ready_seconds=0.0)
    restarts.delay(ready_seconds=0.0)
    assert restarts.delay(ready_seconds=3_600) == first
