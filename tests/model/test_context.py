"""Contexts that cannot be are refused with their value."""

from __future__ import annotations

from typing import Any

import pytest

from streaming_asr.errors import OptionError
from streaming_asr.model import Context


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chunk": 0}, "chunk is 0 frames, it has to be at least 1"),
        ({"chunk": 4, "lookahead": -1}, "lookahead is -1 frames"),
        ({"chunk": 4, "left": -2}, "left is -2 frames"),
        ({"chunk": 4, "sinks": -3}, "sinks is -3 frames"),
    ],
)
def test_impossible_contexts_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Context(**arguments)


def test_a_step_sees_its_chunk_and_its_lookahead() -> None:
    context = Context(chunk=16, lookahead=8, left=40)
    assert (context.rows, context.ring) == (24, 56)
    assert [context.visible(step) for step in range(3)] == [24, 40, 56]
