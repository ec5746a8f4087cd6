"""Several recognizers on one processor step in turn."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from streaming_asr.sharing import SharedProcessor

if TYPE_CHECKING:
    from streaming_asr.model import Chunk, EncoderStream

STEPS = 50


@dataclass
class Watched:
    """An encoder that writes down whose steps begin, and fails if another one is at work."""

    name: str
    log: list[str]
    at_work: list[str] = field(default_factory=list)
    fails: bool = False

    def step(self, streams: Sequence[EncoderStream]) -> list[Chunk]:
        assert not self.at_work, f"{self.name} and {self.at_work} step at once"
        self.at_work.append(self.name)
        self.log.append(self.name)
        threading.Event().wait(0.005)
        self.at_work.remove(self.name)
        if self.fails:
            raise RuntimeError("the step failed")
        return []


def test_two_busy_recognizers_have_every_second_step_and_never_step_at_once() -> None:
    log, at_work, processor = list[str](), list[str](), SharedProcessor()
    begin = threading.Barrier(2)
    failures: list[AssertionError] = []

    def run(name: str) -> None:
        encoder = processor.share(Watched(name, log, at_work))
        begin.wait()
        try:
            for _ in range(STEPS):
                encoder.step([])
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("few streams", "many streams")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert sorted(log) == sorted(["few streams", "many streams"] * STEPS)
    # While both are busy they take turns; one may be late to ask again now and then.
    both_busy = log[4:-4]
    assert sum(one != other for one, other in pairwise(both_busy)) > 0.5 * len(both_busy)


def test_a_step_that_fails_leaves_the_processor_to_the_others() -> None:
    log, processor = list[str](), SharedProcessor()
    with pytest.raises(RuntimeError, match="the step failed"):
        processor.share(Watched("broken", log, fails=True)).step([])
    assert processor.share(Watched("sound", log)).step([]) == []
    assert log == ["broken", "sound"]
