"""One utterance: words on the audio clock, and columns that are never text."""

from __future__ import annotations

import torch

from streaming_asr.decoding import Alphabet, BeamSearch, GreedySearch
from streaming_asr.model import Chunk, Context
from streaming_asr.stabilizer import Stabilizer
from streaming_asr.utterance import Utterance
from tests.tones import HOP, ToneEncoder, silence

LABELS = ("", " ", "a", "<unk>", "b")


def utterance(*, start: int = 0, clock_start: int = 0, lead: int = 0, beams: bool = False) -> Utterance:
    alphabet = Alphabet(LABELS)
    stabilizer = Stabilizer(BeamSearch(alphabet) if beams else GreedySearch(alphabet), agreement_delay=None)
    stream = ToneEncoder().open(Context(chunk=1))
    return Utterance(
        start, hop=HOP, lead=lead, clock_start=clock_start, special=(3,), stream=stream, stabilizer=stabilizer
    )


def chunk(*columns: int) -> Chunk:
    """Frames on which one column each stands out, with "b" second where that column is special."""
    logits = torch.full((len(columns), len(LABELS)), -9.0)
    logits[:, 4] = -5.0
    logits[range(len(columns)), list(columns)] = 5.0
    return Chunk(logits=logits, lookahead=logits[:0])


def test_special_tokens_are_never_text() -> None:
    spoken = utterance()
    spoken.feed(silence(4))
    assert spoken.take(chunk(2, 3, 1, 2)).committed_text == "ab"


def test_the_model_s_scores_are_left_as_they_are() -> None:
    given, spoken = chunk(3, 2), utterance()
    before = given.logits.clone()
    spoken.take(given)
    assert torch.equal(given.logits, before)


def test_words_stand_on_the_clock_and_never_behind_the_audio() -> None:
    spoken = utterance(start=1_600, clock_start=16_000)
    spoken.feed(silence(3))
    words = spoken.words(spoken.take(chunk(0, 2, 1, 2, 2)).words)
    assert [word.start for word in words] == [1.12, 1.16]
    assert words[-1].end == 1.16


def test_silence_in_front_moves_no_word() -> None:
    spoken = utterance(lead=2 * HOP)
    spoken.feed(silence(3))
    assert spoken.stream.due
    (word,) = spoken.words(spoken.take(chunk(0, 0, 0, 2, 2)).words)
    assert (word.start, word.end) == (0.02, 0.06)


def test_where_nothing_is_the_best_reading_there_are_no_others() -> None:
    for blank, readings in ((3.0, []), (-3.0, ["b", "a", ""])):
        spoken = utterance(beams=True)
        logits = torch.tensor([[blank, -9.0, 0.0, -9.0, 1.0]])
        spoken.take(Chunk(logits=logits, lookahead=logits[:0]))
        assert [one.text for one in spoken.finish(5)] == readings[:2]
