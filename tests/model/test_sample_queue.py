"""Samples are kept by their number in the stream for as long as they are needed, in memory that stays small."""

from __future__ import annotations

import random

import numpy as np

from streaming_asr.model.sample_queue import SMALLEST, SampleQueue


def test_it_holds_what_was_appended_and_not_forgotten() -> None:
    chance, queue = random.Random(0), SampleQueue(np.float32)
    whole = np.arange(200_000, dtype=np.float32)
    while queue.stop < len(whole):
        queue.append(whole[queue.stop :][: chance.randrange(0, 9000)])
        start = chance.randrange(queue.start, queue.stop + 1)
        np.testing.assert_array_equal(queue.read(start, queue.stop), whole[start : queue.stop])
        queue.discard(chance.randrange(queue.start, queue.stop + 1))


def test_reading_ends_with_what_has_come() -> None:
    queue = SampleQueue(np.float64)
    queue.append(np.arange(10.0))
    assert queue.read(8, 20).tolist() == [8.0, 9.0]
    assert queue.read(5, 5).size == queue.read(7, 3).size == 0
    queue.discard(100)
    assert (queue.start, queue.stop) == (10, 10)


def test_memory_follows_what_is_kept() -> None:
    queue = SampleQueue(np.float32)
    queue.append(np.zeros(1_000_000, np.float32))
    queue.discard(999_000)
    assert len(queue._buffer) <= 2 * SMALLEST
    for _ in range(1000):
        queue.append(np.zeros(1000, np.float32))
        queue.discard(queue.stop - 1000)
        assert len(queue._buffer) <= 2 * SMALLEST
