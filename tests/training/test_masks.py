from __future__ import annotations

import pytest
import torch

from streaming_asr.model import Context
from tests.model.masks import attention_mask, rows
from training.masks import frame_of_row, main_rows, visible, whole, windows


def test_full_context_is_one_chunk_in_which_all_see_all() -> None:
    assert visible(whole(5), 5).all()
    assert frame_of_row(whole(3), 3).tolist() == [0, 1, 2]


def test_rows_are_chunks_with_copies_of_their_lookahead() -> None:
    assert frame_of_row(Context(2, 1), 4).tolist() == [0, 1, 2, 2, 3, 4]


def test_main_rows_see_the_past_and_their_own_chunk_and_lookahead() -> None:
    seen = visible(Context(2, 1), 4)
    assert seen[0].tolist() == [True, True, True, False, False, False]
    assert seen[3].tolist() == [True, True, False, True, True, False]


def test_copies_are_seen_by_their_own_chunk_only() -> None:
    seen = visible(Context(2, 2), 6)
    assert not seen[4:, 2:4].any()


def test_left_context_is_counted_from_the_start_of_the_chunk_and_sinks_stay() -> None:
    seen = visible(Context(2, 0, left=2, sinks=1), 8)
    assert seen[6].tolist() == [True, False, False, False, True, True, True, True]


def test_windows_hold_real_frames_before_and_nothing_behind_the_lookahead() -> None:
    features = torch.arange(1.0, 6.0)[None, :, None]
    pieces = windows(features, Context(2, 1), before=2, after=1)[0, :, :, 0]
    assert pieces.tolist() == [[0, 0, 1, 2, 3, 0], [1, 2, 3, 4, 5, 0], [3, 4, 5, 0, 0, 0]]


def test_main_rows_come_back_in_order() -> None:
    numbered = frame_of_row(Context(3, 2), 7)[None, :, None]
    assert main_rows(numbered, Context(3, 2), 7)[0, :, 0].tolist() == list(range(7))


@pytest.mark.parametrize("context", [Context(3), Context(4, 2), Context(2, 5, left=3), Context(3, 1, 4, 2)])
def test_rows_see_what_the_library_s_masked_pass_lets_them_see(context: Context) -> None:
    frames = 11
    layout = rows(frames, context)
    here = frame_of_row(context, frames)
    owner = torch.arange(len(here)) // context.rows
    order = [
        int(torch.nonzero((here == frame) & (owner == chunk)))
        for frame, chunk in zip(layout.positions, layout.chunks, strict=True)
    ]
    assert torch.equal(visible(context, frames)[order][:, order], attention_mask(layout, context))
