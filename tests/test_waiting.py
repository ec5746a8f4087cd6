"""The input of a session: in order, joined, and patient only with audio of which nothing can come."""

from __future__ import annotations

import numpy as np

from streaming_asr.waiting import Waiting

ONE = np.ones(3, np.float32)
TWO = np.full(2, 2.0, np.float32)


def test_audio_is_joined_up_to_the_next_command() -> None:
    waiting = Waiting()
    waiting.push(ONE)
    waiting.push(TWO[:0])
    waiting.push(TWO)
    waiting.command("finalize")
    waiting.push(TWO)
    waiting.command("finish")
    taken = [waiting.next() for _ in range(5)]
    np.testing.assert_array_equal(taken[0], [1, 1, 1, 2, 2])
    np.testing.assert_array_equal(taken[2], TWO)
    assert (taken[1], taken[3], taken[4]) == ("finalize", "finish", None)


def test_what_is_put_back_comes_next() -> None:
    waiting = Waiting()
    waiting.push(ONE)
    waiting.command("finalize")
    waiting.next()
    waiting.put_back(ONE[1:])
    np.testing.assert_array_equal(waiting.next(), ONE[1:])
    assert waiting.next() == "finalize"


def test_patience_lasts_until_so_much_audio_has_come() -> None:
    waiting = Waiting()
    assert waiting.patience == 0, "nobody has said yet how much decides nothing"
    waiting.used_up(5)
    waiting.push(ONE)
    assert waiting.patience == 2
    waiting.push(TWO)
    assert waiting.patience == 0
    waiting.used_up(4)
    assert waiting.patience == 4, "it is counted from there"


def test_nothing_waits_behind_a_command() -> None:
    waiting = Waiting()
    waiting.used_up(5)
    waiting.command("finalize")
    assert waiting.patience == 0
