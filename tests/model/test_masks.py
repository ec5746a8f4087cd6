"""The rows and masks of the masked pass, against their definition written out frame by frame."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

from streaming_asr.model import Context
from tests.model.masks import attention_mask, main_rows, masked_positions, rows


def drawn(seed: int) -> tuple[int, Context]:
    chance = random.Random(seed)
    left = chance.choice([None, 0, chance.randrange(1, 30)])
    context = Context(chance.randrange(1, 14), chance.randrange(0, 12), left, chance.randrange(0, 5))
    return chance.randrange(1, 60), context


@pytest.mark.parametrize("seed", range(30))
def test_rows_and_mask_follow_their_definition(seed: int) -> None:
    frames, context = drawn(seed)
    expected = [(frame, frame // context.chunk, False) for frame in range(frames)]
    for chunk in range(-(-frames // context.chunk)):
        end = (chunk + 1) * context.chunk
        expected += [(frame, chunk, True) for frame in range(end, min(end + context.lookahead, frames))]
    layout = rows(frames, context)
    found = zip(layout.positions.tolist(), layout.chunks.tolist(), layout.copies.tolist(), strict=True)
    assert list(found) == expected
    mask = attention_mask(layout, context)
    for row, (_, chunk, _) in enumerate(expected):
        for key, (frame, key_chunk, copy) in enumerate(expected):
            start = chunk * context.chunk
            remembered = context.left is None or frame >= start - context.left or frame < context.sinks
            may = key_chunk == chunk if copy else remembered and frame < start + context.chunk
            assert bool(mask[row, key]) == may, (row, key)


def test_one_chunk_over_everything_is_an_ordinary_pass() -> None:
    layout = rows(20, Context.whole())
    assert layout.positions.tolist() == list(range(20))
    assert bool(attention_mask(layout, Context.whole()).all())
    scores = torch.randn(2, 20, 3)
    assert main_rows(scores, layout) is not None
    torch.testing.assert_close(main_rows(scores, layout), scores)


@pytest.mark.parametrize("seed", range(10))
def test_positions_are_those_of_a_recording_that_ends_where_the_chunk_sees_no_further(seed: int) -> None:
    frames, context = drawn(seed)
    weight = torch.randn(4, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    projected = torch.randn(2, frames, 4, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)

    def embed(sequence: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            sequence = F.conv1d(sequence.transpose(1, 2), weight, padding=2).transpose(1, 2).tanh()
        return sequence

    layout = rows(frames, context)
    found = masked_positions(embed, projected, layout, context, reach=4)
    for row, (position, chunk) in enumerate(zip(layout.positions.tolist(), layout.chunks.tolist(), strict=True)):
        truncated = embed(projected[:, : (chunk + 1) * context.chunk + context.lookahead])
        torch.testing.assert_close(found[:, row], truncated[:, position], rtol=0, atol=1e-12)


def test_main_rows_leave_the_copies_out() -> None:
    layout = rows(9, Context(4, 2))
    assert len(layout.positions) == 9 + 2 + 1
    assert main_rows(torch.zeros(1, 12, 3), layout).shape == (1, 9, 3)
