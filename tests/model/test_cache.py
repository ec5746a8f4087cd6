"""Where frames lie in a ring: every frame that a step may see is there, and each once."""

from __future__ import annotations

import random

import pytest
import torch

from streaming_asr.model import Context
from streaming_asr.model.cache import SHORTEST_RING, CacheLayout


@pytest.mark.parametrize("seed", range(40))
def test_a_ring_holds_exactly_what_the_next_steps_may_see(seed: int) -> None:
    chance = random.Random(seed)
    left = chance.choice([None, 0, chance.randrange(1, 30)])
    context = Context(chance.randrange(1, 12), chance.randrange(0, 8), left, chance.randrange(0, 6))
    written: dict[int, int] = {}
    for step in range(12):
        layout = CacheLayout.of(context, step)
        steps, start = torch.tensor([step]), step * context.chunk
        places = layout.places_of(steps, context.rows)[0].tolist()
        assert len(set(places)) == context.rows
        assert max(places) < layout.places
        for row, place in enumerate(places):
            written[place] = start + row
        used = layout.used(step)
        found = [frame for frame in layout.frames_at(steps, used)[0].tolist() if frame >= 0]
        oldest = 0 if left is None else max(0, start - left)
        expected = {*range(oldest, start + context.rows), *range(min(context.sinks, start + context.chunk))}
        assert sorted(found) == sorted(expected)
        for place, frame in enumerate(layout.frames_at(steps, used)[0].tolist()):
            assert frame < 0 or written[place] == frame


def test_a_bounded_ring_is_no_longer_than_its_context() -> None:
    assert CacheLayout.of(Context(16, 8, 40, 4), 1000).places == 8 + 4 + 40 + 16
    assert CacheLayout.of(Context(16), 0).places == SHORTEST_RING
    assert CacheLayout.of(Context(16), 40).places == 2 * SHORTEST_RING
