"""Ctrl-C ends the audio, not the work."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from streaming_asr.command_line.interruption import Interruption


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


def test_without_ctrl_c_all_items_come() -> None:
    with Interruption() as interruption:
        assert list(interruption.until_asked(range(5))) == [0, 1, 2, 3, 4]
    assert not interruption.asked


def test_ctrl_c_while_an_item_is_handled_lets_the_handling_end() -> None:
    handled = []
    with Interruption() as interruption:
        for item in interruption.until_asked(range(5)):
            if item == 2:
                interrupt()
            handled.append(item)
    assert handled == [0, 1, 2]
    assert interruption.asked


def test_ctrl_c_while_waiting_for_an_item_ends_the_wait_at_once() -> None:
    def slow() -> Iterator[int]:
        yield 1
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        time.sleep(30)
        yield 2

    began = time.monotonic()
    with Interruption() as interruption:
        assert list(interruption.until_asked(slow())) == [1]
    assert interruption.asked
    assert time.monotonic() - began < 5


def test_a_second_ctrl_c_is_an_exception() -> None:
    with Interruption():
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_afterwards_ctrl_c_is_what_it_was_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_service_manager_and_a_closed_terminal_end_the_audio_too(number: signal.Signals, code: int) -> None:
    with Interruption() as interruption:
        for item in interruption.until_asked(range(5)):
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            assert item == 0
    assert interruption.exit_code == code
