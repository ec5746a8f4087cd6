"""RingBuffer: fixed memory, absolute positions, and no old sample passed off as a new one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.ring_buffer import RingBuffer
from streaming_asr.errors import OptionError, OverwrittenError


def counting(start: int, stop: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.arange(start, stop, dtype=np.float32)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.lists(st.integers(0, 50), max_size=20), st.data())
def test_a_sample_is_found_under_its_position_or_not_at_all(
    capacity: int, sizes: list[int], data: st.DataObject
) -> None:
    ring = RingBuffer(capacity)
    for size in sizes:
        ring.append(counting(ring.end, ring.end + size))
    assert ring.end == sum(sizes)
    assert ring.start == max(0, sum(sizes) - capacity)
    start = data.draw(st.integers(0, ring.end))
    stop = data.draw(st.integers(start, ring.end))
    if start < ring.start:
        with pytest.raises(OverwrittenError, match=f"those before {ring.start} have been overwritten"):
            ring.read(start, stop)
    else:
        assert np.array_equal(ring.read(start, stop), counting(start, stop))


def test_what_was_read_stays_when_the_ring_moves_on() -> None:
    ring = RingBuffer(4)
    ring.append(counting(0, 4))
    kept = ring.read(0, 4)
    ring.append(counting(4, 8))
    assert kept.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (3, 2), (-1, 2)])
def test_ranges_that_never_were_are_refused(start: int, stop: int) -> None:
    ring = RingBuffer(8)
    ring.append(counting(0, 4))
    with pytest.raises(ValueError, match=f"samples {start} to {stop} were asked for; there are 0 to 4"):
        ring.read(start, stop)


def test_a_ring_of_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match="capacity is 0 samples"):
        RingBuffer(0)
