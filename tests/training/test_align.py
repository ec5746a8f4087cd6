from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streaming_asr.audio.samples import SAMPLE_RATE
from training.align import align, cuts_between_words, main, quietest, says_model
from training.augment import AugmentOptions, Surroundings
from training.batches import BatchMaker, BatchOptions, Source, joined, some_words
from training.checkpoints import read_start
from training.configuration import Configuration
from training.corpus import Corpus, Utterance, write_table
from training.model import Shape
from training.posteriors import PLACES_FILE, ROWS_FILE
from training.transcripts import ENGLISH

from .conftest import LETTER_SECONDS, sung

EMBEDDED = Path(__file__).parents[2] / "streaming_asr" / "embedded"


def tried(log_probs: np.ndarray, rows: list[int]) -> list[int]:
    """Where the rows begin on the best of all paths that spell them, by trying every path."""
    best, found = -np.inf, [-1]
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        begins = [place for place, row in enumerate(path) if row and (place == 0 or row != path[place - 1])]
        if [path[place] for place in begins] == rows:
            score = sum(log_probs[frame, row] for frame, row in enumerate(path))
            best, found = max((best, found), (score, begins))
    return found


@pytest.mark.parametrize("rows", [[1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 2]])
def test_the_alignment_is_the_best_of_all(rows: list[int]) -> None:
    for seed in range(5):
        log_probs = np.log(np.random.default_rng(seed).dirichlet([0.5] * 3, 6))
        assert align(log_probs, rows, blank=0).tolist() == tried(log_probs, rows)


def test_too_few_frames_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 frames are too few for 2 letters"):
        align(np.log(np.full((2, 3), 1 / 3)), [1, 1], blank=0)


def test_the_quietest_moment_is_found() -> None:
    samples = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    samples[3000:3600] *= 0.01
    assert 3000 <= quietest(samples, 1000, 6000) <= 3600


def test_the_words_of_a_real_recording_are_found() -> None:
    """The bundled recording is cut at its pauses and between words, where it is quieter than elsewhere."""
    import soundfile

    samples, rate = soundfile.read(EMBEDDED / "demo.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    start = read_start(EMBEDDED / "english")
    shape, spelling = start.model.shape, start.spelling
    lines = (EMBEDDED / "demo.txt").read_text(encoding="utf-8").upper().replace("\n", " ")
    text = " ".join("".join(letter for letter in lines if letter.isalpha() or letter in "' ").split())
    audio = np.rint(samples * 32768).astype(np.int16)
    whole = Utterance("demo", "demo", "voice", "train", 0, len(audio), text)
    said = says_model(start, Corpus(audio, (whole,)))(whole)
    assert said is not None
    cuts = cuts_between_words(samples, text, said, shape, spelling)
    assert len(cuts) == len(text.split()) - 1
    assert (np.diff(cuts) >= 0).all()
    loudness = np.array([np.abs(samples[max(cut - 160, 0) : cut + 160]).mean() for cut in cuts])
    assert (loudness < 0.15 * np.abs(samples).mean()).mean() > 1 / 3
    assert np.median(loudness) < 0.75 * np.abs(samples).mean()


def cut_corpus(folder: Path, corpus: Corpus) -> Corpus:
    """The sung corpus with every letter a word."""
    letter = round(LETTER_SECONDS * SAMPLE_RATE)
    table = [
        Utterance(
            one.name,
            one.collection,
            one.speaker,
            one.part,
            one.start,
            one.samples,
            " ".join(one.transcript),
            tuple(1600 + letter * place for place in range(1, len(one.transcript))),
        )
        for one in corpus.utterances
    ]
    (folder / "audio.i16").write_bytes(corpus.audio.tobytes())
    write_table(folder / "table.tsv", table)
    assert Corpus.open(folder).utterances == tuple(table)
    return Corpus.open(folder)


def test_words_are_found_by_what_a_teacher_left(
    tmp_path: Path,
    corpus: Corpus,
    shape: Shape,
    configuration: Configuration,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each letter is said in the frame of its middle, the space in the one after it: the cuts are where they are."""
    whole = cut_corpus(tmp_path, corpus)
    hop, middle = int(np.prod(shape.conv_stride)), shape.samples(1) // 2
    rows, lines = list[np.ndarray](), list[str]()
    told = 0
    for one in (one for one in whole.utterances if one.part == "train"):
        said = np.full((shape.frames(one.samples), shape.vocab_size), -16.0, dtype=np.float16)
        said[:, ENGLISH.blank] = 0.0
        begins = (1600, *one.cuts)
        for begin, letter in zip(begins, one.transcript.split(), strict=True):
            frame = round((begin + 960 - middle) / hop)
            for place, row in enumerate(ENGLISH.encode(f"{letter} ")):
                said[min(frame + place, len(said) - 1)] = -16.0
                said[min(frame + place, len(said) - 1), row] = 0.0
        lines.append(f"{one.name}\t{told}\t{told + len(said)}\n")
        rows.append(said)
        told += len(said)
    np.save(tmp_path / ROWS_FILE, np.concatenate(rows))
    (tmp_path / PLACES_FILE).write_text("".join(lines), encoding="utf-8")
    write_table(tmp_path / "table.tsv", [replace(one, cuts=()) for one in whole.utterances])
    monkeypatch.setattr(sys, "argv", ["align", str(tmp_path), str(tmp_path), "--like", configuration.model.shape])
    main()
    for found, true in zip(Corpus.open(tmp_path).utterances, whole.utterances, strict=True):
        assert found.cuts == () if true.part == "dev" else np.allclose(found.cuts, true.cuts, atol=400)


def test_a_letter_behind_the_end_cuts_at_the_end() -> None:
    assert 7000 <= quietest(np.ones(8000, np.float32), 8100, 8700) <= 8000


def test_words_are_cut_out_with_their_audio(tmp_path: Path, corpus: Corpus) -> None:
    whole = cut_corpus(tmp_path, corpus)
    utterance = next(one for one in whole.utterances if len(one.cuts) >= 4)
    some = utterance.words(1, 3)
    assert some.transcript == " ".join(utterance.transcript.split()[1:3])
    assert np.allclose(whole.samples(some), sung("".join(some.transcript.split())), atol=1e-3)
    assert utterance.words(0, len(utterance.cuts) + 1).transcript == utterance.transcript
    generator = np.random.default_rng(0)
    counts = {len(some_words(utterance, generator).transcript.split()) for _ in range(50)}
    assert min(counts) >= 1
    assert max(counts) <= 0.7 * (len(utterance.cuts) + 1) + 1


def test_spliced_batches_say_what_their_pieces_say(tmp_path: Path, corpus: Corpus, shape: Shape) -> None:
    whole = cut_corpus(tmp_path, corpus)
    options = BatchOptions(frames=(16, 24, 32, 48), seconds=6.0, splice_share=1.0)
    maker = BatchMaker([Source(whole)], shape, options, AugmentOptions.none(), Surroundings(), seed=1)
    plan = list(maker._make_plan(0))
    takes = [take for _, members in plan for take in members]
    assert all(len(take.pieces) == 3 for take in takes)
    assert len({take.transcript for take in takes}) > 15
    for step, (_, members) in enumerate(plan):
        batch = maker.batch(step)
        assert [len(take.transcript) for take in members] == batch.letters.counts.tolist()
        assert [shape.frames(take.samples) for take in members] == batch.frames.tolist()


def test_joints_do_not_click() -> None:
    tone = np.ones(4000, np.float32) * np.resize([1.0, -1.0], 4000).astype(np.float32)
    whole = joined([3.0 * tone, 0.01 * tone])
    assert len(whole) == 8000
    assert np.abs(whole[3998:4002]).max() < 0.005
    assert np.abs(whole[2000]) == pytest.approx(np.abs(whole[6000]), rel=1e-2)
