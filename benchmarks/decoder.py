"""Decoder speed: our chunked beam search against pyctcdecode's one-shot search on the same log-probabilities.

Run it as `python -m benchmarks.decoder`. Where `ctc-beam-decoder` is installed (a search in C++ that reproduces
pyctcdecode's; `pip install ctc-beam-decoder==0.2.0`), its one-shot search is timed beside them. All figures are CPU
time of one thread, best of some repetitions, from one run; the ratios are what to compare. Our search and pyctcdecode's
must find the same beams with the same scores, or it stops.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from benchmarks.machine import print_machine
from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import (
    Alphabet,
    BeamSearch,
    GreedySearch,
    KenNgrams,
    LanguageModel,
    NgramLanguageModel,
    read_arpa,
)

LABELS: Final = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
SAID: Final = """
    THE OF AND TO IN IS YOU THAT IT HE WAS FOR ON ARE AS WITH HIS THEY AT BE THIS HAVE FROM OR ONE HAD BY WORD BUT
    NOT WHAT ALL WERE WE WHEN YOUR CAN SAID THERE USE EACH WHICH SHE DO HOW THEIR IF WILL UP OTHER ABOUT OUT MANY THEN
    THEM THESE SO SOME HER WOULD MAKE LIKE HIM INTO TIME HAS LOOK TWO MORE WRITE GO SEE NUMBER NO WAY COULD PEOPLE
    """
WORDS: Final = tuple(SAID.split())
HOTWORDS: Final = ("THERE", "NUMBER", "STREAMWELL", "PEOPLE")
FRAMES_PER_SECOND: Final = 50
CHUNK: Final = 32
BEAM_WIDTH: Final = 50

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Case:
    """One way to search: with or without a language model and hotwords."""

    name: str
    oracle_model: Any = None
    model: LanguageModel | None = None
    hotwords: tuple[str, ...] = ()
    arpa: Path | None = None
    tolerance: float = 1e-9
    """How far scores may be from pyctcdecode's, which takes a second log-softmax."""


def synthesize(seconds: int, *, confusion: float, seed: int = 0) -> FloatArray:
    """Log-probabilities (frames, vocabulary) of random words; `confusion` is the spread of the wrong tokens' logits."""
    chance = np.random.default_rng(seed)
    frames = seconds * FRAMES_PER_SECOND
    said = np.zeros(frames, dtype=int)
    at = 5
    while at < frames - 20:
        for letter in WORDS[int(chance.integers(len(WORDS)))] + "|":
            said[at : at + chance.choice([1, 1, 2])] = LABELS.index(letter)
            at += int(chance.integers(2, 6))
        at += int(chance.integers(0, 8))
    logits = chance.normal(size=(frames, len(LABELS))) * confusion
    logits[np.arange(frames), said] += 3 + chance.gamma(4, 2.5, size=frames)
    logits[:, 0] += 2
    result: FloatArray = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return result


def write_arpa(path: Path) -> list[str]:
    """Write a bigram model over the words and many that resemble them, so that most beginnings are known ones."""
    chance = np.random.default_rng(3)
    follows: dict[str, list[str]] = {}
    for one, other in pairwise(" ".join(WORDS)):
        follows.setdefault(one, []).append(other)
    words = sorted({*WORDS, *(_invent(follows, chance) for _ in range(20_000))} - {""})
    pairs = [(one, other) for one in WORDS for other in WORDS if chance.random() < 0.3]
    unigrams = [f"{chance.uniform(-5, -2):.3f}\t{word}\t-0.3" for word in words]
    bigrams = [f"{chance.uniform(-2, -0.3):.3f}\t{one} {other}" for one, other in pairs]
    counts = ["\\data\\", f"ngram 1={len(words) + 3}", f"ngram 2={len(bigrams)}", ""]
    marks = ["\\1-grams:", "-5\t<unk>\t0", "-99\t<s>\t-0.3", "-2\t</s>"]
    lines = [*counts, *marks, *unigrams, "", "\\2-grams:", *bigrams, "", "\\end\\", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return words


def _invent(follows: Mapping[str, Sequence[str]], chance: np.random.Generator) -> str:
    """A word whose letters follow each other as they do in the words."""
    word, letter = "", " "
    while len(word) < 12:
        letter = follows[letter][int(chance.integers(len(follows[letter])))]
        if letter == " ":
            return word
        word += letter
    return word


def cases(folder: Path) -> list[Case]:
    """The ways to search; with the language model only where kenlm is installed."""
    found = [Case("no language model"), Case("4 hotwords", hotwords=HOTWORDS)]
    try:
        import kenlm
    except ImportError:
        print("kenlm is not installed: no figures with a language model")
        return found
    from pyctcdecode.language_model import LanguageModel as OracleModel

    path = folder / "words.arpa"
    words = write_arpa(path)
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    model = kenlm.Model(str(path), config)
    oracle, ours = OracleModel(model, words), NgramLanguageModel(KenNgrams(model), words)
    own = NgramLanguageModel(read_arpa(path), words)
    return [
        *found,
        Case("KenLM bigram", oracle, ours, arpa=path),
        Case("KenLM and hotwords", oracle, ours, HOTWORDS, path),
        # KenLM adds up in single precision.
        Case("without KenLM", oracle, own, tolerance=1e-6),
    ]


def search_whole(case: Case, log_probs: FloatArray) -> Any:
    """pyctcdecode's beams of all frames at once."""
    from pyctcdecode.alphabet import Alphabet as OracleAlphabet
    from pyctcdecode.decoder import BeamSearchDecoderCTC

    decoder = BeamSearchDecoderCTC(OracleAlphabet.build_alphabet(list(LABELS)), case.oracle_model)
    try:
        return decoder.decode_beams(log_probs, beam_width=BEAM_WIDTH, hotwords=case.hotwords)
    finally:
        decoder.cleanup()


def native_search(case: Case) -> Callable[[FloatArray], Any] | None:
    """ctc-beam-decoder's search of all frames at once; None where it is not installed or has no such way."""
    if case.model is not None and case.arpa is None:
        return None
    try:
        import ctc_beam_decoder
    except ImportError:
        return None
    words = None if case.arpa is None else read_arpa(case.arpa).words
    decoder = ctc_beam_decoder.build_ctcdecoder(list(LABELS), None if case.arpa is None else str(case.arpa), words)
    return lambda log_probs: decoder.decode_beams(log_probs, beam_width=BEAM_WIDTH, hotwords=list(case.hotwords))


def search_chunks(case: Case, log_probs: FloatArray, limit: int | None = None) -> Any:
    """Our beams, from chunks; at most `limit` are told in the end."""
    search = BeamSearch(
        Alphabet(LABELS), beam_width=BEAM_WIDTH, language_model=case.model, hotwords=list(case.hotwords)
    )
    return _stream(search, log_probs, limit)


def _stream(search: BeamSearch | GreedySearch, log_probs: FloatArray, limit: int | None = None) -> Any:
    for at in range(0, len(log_probs), CHUNK):
        search.push(log_probs[at : at + CHUNK])
    return search.finish(limit)


def timed(work: Callable[[], Result], repetitions: int) -> tuple[float, Result]:
    """The least CPU time in seconds of some repetitions, and the result."""
    best, result = math.inf, work()
    for _ in range(repetitions):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def check_equal(ours: Sequence[Any], theirs: Sequence[Any], tolerance: float) -> None:
    """Stop if texts or frames differ, or scores by more than the tolerance."""
    assert [beam.text for beam in ours] == [beam[0] for beam in theirs], "other texts than pyctcdecode"
    for mine, other in zip(ours, theirs, strict=True):
        assert math.isclose(mine.score, other[-1], rel_tol=tolerance, abs_tol=tolerance), (mine.score, other[-1])
        assert [(word.start_frame, word.end_frame) for word in mine.words] == [frames for _, frames in other[2]]


def compare(name: str, log_probs: FloatArray, ways: Sequence[Case]) -> None:
    """Print milliseconds per frame of both, and the ratio."""
    likely = (log_probs >= -5).sum(axis=1)
    quiet = float(((log_probs.argmax(axis=1) == 0) & (likely <= 1)).mean())
    print(f"{name}: {len(log_probs)} frames, {likely.mean():.2f} candidates per frame, {100 * quiet:.0f} % blank only")
    for case in ways:
        their_time, theirs = timed(lambda case=case: search_whole(case, log_probs), 2)  # type: ignore[misc]
        our_time, ours = timed(lambda case=case: search_chunks(case, log_probs), 5)  # type: ignore[misc]
        check_equal(ours, theirs, case.tolerance)
        figures = [1000 * seconds / len(log_probs) for seconds in (their_time, our_time)]
        print(
            f"  {case.name:20} pyctcdecode {figures[0]:.3f} ms/frame, ours {figures[1]:.4f} ms/frame,"
            f" {figures[0] / figures[1]:5.1f} times faster{_beside_native(case, log_probs, our_time, ours)}"
        )
    greedy_time, _ = timed(lambda: _stream(GreedySearch(Alphabet(LABELS)), log_probs), 5)
    print(f"  {'greedy':20} {1000 * greedy_time / len(log_probs):.4f} ms/frame", flush=True)


def _beside_native(case: Case, log_probs: FloatArray, our_time: float, ours: Sequence[Any]) -> str:
    """What ctc-beam-decoder takes, and whether its best text is ours."""
    search = native_search(case)
    if search is None:
        return ""
    seconds, found = timed(lambda: search(log_probs), 3)
    alike = "" if found[0][0] == ours[0].text else ", OTHER TEXT"
    return f"; ctc-beam-decoder {1000 * seconds / len(log_probs):.4f} ms/frame, {our_time / seconds:.1f} times{alike}"


def flatness(log_probs: FloatArray, ways: Sequence[Case]) -> None:
    """Print what a frame costs in the first ten seconds, the second and the last minute of one long utterance.

    An utterance begins with one beam, and the longer beams have disagreed the more of them are alive, so the cost of
    one beam is what tells whether the search itself is flat. The last line drops, as live captions do, the beams
    that disagree with words that ended 1.5 s ago.
    """
    print(f"flat: parts of one utterance of {len(log_probs) // FRAMES_PER_SECOND} s, microseconds per frame and beam")
    minute = 60 * FRAMES_PER_SECOND
    parts = {"first 10 s": slice(0, minute // 6), "minute 2": slice(minute, 2 * minute), "last": slice(-minute, None)}
    for case, settled in [*((case, False) for case in ways), (ways[0], True)]:
        costs, beams = _follow(case, log_probs, settled)
        figures = {name: 1e6 * costs[part].sum() / beams[part].sum() / CHUNK for name, part in _chunks(parts).items()}
        told = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items())
        name = f"{case.name}, settled" if settled else case.name
        print(f"  {name:26} {told}: last over minute 2 {figures['last'] / figures['minute 2']:.2f}", flush=True)


def _chunks(parts: Mapping[str, slice]) -> dict[str, slice]:
    """Slices of frames as slices of chunks."""
    return {
        name: slice(part.start // CHUNK, None if part.stop is None else part.stop // CHUNK)
        for name, part in parts.items()
    }


def _follow(case: Case, log_probs: FloatArray, settled: bool) -> tuple[FloatArray, FloatArray]:
    """CPU time in seconds and live beams of each chunk, both of shape (chunks,)."""
    search = BeamSearch(Alphabet(LABELS), language_model=case.model, hotwords=list(case.hotwords))
    costs, beams = [], []
    for at in range(0, len(log_probs), CHUNK):
        start = time.process_time()
        search.push(log_probs[at : at + CHUNK])
        costs.append(time.process_time() - start)
        beams.append(search.live)
        if settled:
            words = search.beams(1)[0].words[:-1]
            due = search.frames - 3 * FRAMES_PER_SECOND // 2
            search.hold([word.text for word in words if word.end_frame <= due])
    return np.array(costs), np.array(beams)


def main() -> None:
    """Run all comparisons."""
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        ways = cases(Path(folder))
        compare("peaky", synthesize(20, confusion=1.2), ways)
        compare("less peaky", synthesize(20, confusion=1.6), ways)
        compare("uncertain", synthesize(10, confusion=2.6), ways)
        flatness(synthesize(600, confusion=1.2), ways)


if __name__ == "__main__":
    main()
