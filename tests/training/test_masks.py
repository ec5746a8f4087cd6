from __future__ import annotations

import pytest
import torch

from streaming_asr.model import Context
from streaming_asr.model.masks import attention_mask, rows
from training.masks import Chunking, frame_of_row, main_rows, visible, windows


def test_full_context_is_one_chunk_in_which_all_see_all() -> None:
    assert visible(Chunking.whole(5), 5).all()
    assert frame_of_row(Chunking.whole(3), 3).tolist() == [0, 1, 2]


def test_rows_are_chunks_with_copies_of_their_lookahead() -> None:
    assert frame_of_row(Chunking(2, 1), 4).tolist() == [0, 1, 2, 2, 3, 4]


def test_main_rows_see_the_past_and_their_own_chunk_and_lookahead() -> None:
    seen = visible(Chunking(2, 1), 4)
    assert seen[0].tolist() == [True, True, True, False, False, False]
    assert seen[3].tolist() == [True, True, False, True, True, False]


def test_copies_are_seen_by_their_own_chunk_only() -> None:
    seen = visible(Chunking(2, 2), 6)
    assert not seen[4:, 2:4].any()


def test_left_context_is_counted_from_the_start_of_the_chunk_and_sinks_stay() -> None:
    seen = visible(Chunking(2, 0, left=2, sinks=1), 8)
    assert seen[6].tolist() == [True, False, False, False, True, True, True, True]


def test_windows_hold_real_frames_before_and_nothing_behind_the_lookahead() -> None:
    features = torch.arange(1.0, 6.0)[None, :, None]
    pieces = windows(features, Chunking(2, 1), before=2, after=1)[0, :, :, 0]
    assert pieces.tolist() == [[0, 0, 1, 2, 3, 0], [1, 2, 3, 4, 5, 0], [3, 4, 5, 0, 0, 0]]


def test_main_rows_come_back_in_order() -> None:
    numbered = frame_of_row(Chunking(3, 2), 7)[None, :, None]
    assert main_rows(numbered, Chunking(3, 2), 7)[0, :, 0].tolist() == list(range(7))


def test_impossible_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="chunk"):
        Chunking(0)


@pytest.mark.parametrize("chunking", [Chunking(3), Chunking(4, 2), Chunking(2, 5, left=3), Chunking(3, 1, 4, 2)])
def test_rows_see_what_the_library_s_masked_pass_lets_them_see(chunking: Chunking) -> None:
    frames = 11
    context = Context(chunking.chunk, chunking.lookahead, chunking.left, chunking.sinks)
    layout = rows(frames, context)
    here = frame_of_row(chunking, frames)
    owner = torch.arange(len(here)) // chunking.window
    order = [
        int(torch.nonzero((here == frame) & (owner == chunk)))
        for frame, chunk in zip(layout.positions, layout.chunks, strict=True)
    ]
    assert torch.equal(visible(chunking, frames)[order][:, order], attention_mask(layout, context))
