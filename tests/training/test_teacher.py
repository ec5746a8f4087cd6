from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streaming_asr.audio.samples import SAMPLE_RATE
from training import teacher
from training.augment import AugmentOptions, Surroundings, normalized
from training.batches import BatchMaker, BatchOptions, Source
from training.configuration import Configuration, TeachingOptions
from training.corpus import Corpus
from training.imitation import LEVEL
from training.model import Shape
from training.objective import divergence
from training.posteriors import Posteriors, spoken_at_another_speed
from training.schedule import Schedule
from training.teacher import Letters, States, learn, masked, said_of, write
from training.train import batch_maker, make_optimizers, prepare_run, train_step
from training.transcripts import ENGLISH
from training.whisper import WhisperEncoder

from .conftest import BATCHES


@pytest.fixture
def slow(shape: Shape) -> Shape:
    """Frames of 40 ms, two of Whisper's."""
    assert np.prod(shape.conv_stride) == 640
    return shape


@pytest.fixture
def states(whisper_folder: Path, corpus: Corpus, slow: Shape, tmp_path: Path) -> States:
    whisper = WhisperEncoder.read(whisper_folder / "model.bin")
    return States.compute(whisper, corpus, slow, tmp_path / "states.npy")


@pytest.fixture
def taught(states: States, tmp_path: Path) -> Posteriors:
    torch.manual_seed(0)
    network = Letters(states.rows.shape[1], len(ENGLISH.labels)).eval()
    (tmp_path / "teacher").mkdir()
    write(network, states, tmp_path / "teacher")
    return Posteriors.open(tmp_path / "teacher")


def test_states_are_those_of_whisper_and_are_computed_once(
    states: States, whisper_folder: Path, corpus: Corpus, slow: Shape, tmp_path: Path
) -> None:
    whisper = WhisperEncoder.read(whisper_folder / "model.bin")
    one = 3
    audio = torch.from_numpy(LEVEL * normalized(corpus.samples(states.utterances[one])))[None]
    expected = whisper.read_by_next(whisper.layers, whisper.states(audio)[-1])[0].numpy()
    found = states.rows[states.starts[one] : states.starts[one + 1]]
    # Those in a batch see the zeros behind the shorter ones, and the encoder works in bfloat16.
    assert np.corrcoef(found.ravel(), expected[: len(found)].ravel())[0, 1] > 0.95
    before = (tmp_path / "states.npy").stat().st_mtime_ns
    States.compute(whisper, corpus, slow, tmp_path / "states.npy")
    assert (tmp_path / "states.npy").stat().st_mtime_ns == before


def test_states_of_another_corpus_are_refused(
    states: States, whisper_folder: Path, corpus: Corpus, slow: Shape, tmp_path: Path
) -> None:
    whisper = WhisperEncoder.read(whisper_folder / "model.bin")
    with pytest.raises(ValueError, match=r"states\.npy holds .* remove it"):
        States.compute(whisper, corpus.part("dev"), slow, tmp_path / "states.npy")


def test_a_frame_reads_the_states_around_its_middle(states: States, slow: Shape) -> None:
    inputs, frames = states.batch([5])
    middle = slow.samples(1) / 2 / SAMPLE_RATE
    first = round(middle / 0.02)
    begin = states.starts[5]
    assert torch.equal(inputs[0, 1], torch.from_numpy(states.rows[begin + first].astype(np.float32)))
    assert inputs.shape[1] == 2 * int(frames[0]) + 1


def test_padding_changes_nothing(states: States) -> None:
    network = Letters(states.rows.shape[1], len(ENGLISH.labels)).eval()
    short, long = sorted(range(len(states.utterances)), key=states.frames)[:: len(states.utterances) - 1]
    assert states.frames(short) < states.frames(long)
    together = dict(said_of(network, states, [short, long]))
    network.eval()
    inputs, frames = states.batch([short])
    with torch.no_grad():
        alone = network(inputs, frames)[0].numpy()
    np.testing.assert_allclose(together[short], alone, atol=0.1)


def test_masks_hide_stretches_of_real_frames() -> None:
    hidden = masked(torch.ones(2, 121, 3), torch.tensor([60, 20]), np.random.default_rng(0)) == 0
    assert hidden.any()
    assert not hidden[1, 41:].any()
    assert torch.equal(hidden.any(2), hidden.all(2))


def test_the_layers_on_top_learn_what_was_said(states: States) -> None:
    import jiwer

    torch.manual_seed(0)
    one = states.of_part("train")[0]
    few = replace(states, utterances=[states.utterances[one]], starts=states.starts[one : one + 2])
    network = learn(few, Schedule(120, 0.0, 0.0), seconds=1.0)
    ((_, rows),) = said_of(network, few, [0])
    spoken = few.utterances[0].transcript
    assert jiwer.cer(spoken, ENGLISH.decode(rows.argmax(-1).tolist()) or "-") < 0.5


def test_what_is_written_is_what_was_said(states: States, taught: Posteriors) -> None:
    assert set(taught.places) == {states.utterances[one].name for one in states.of_part("train")}
    assert taught.of("nobody") is None
    one = states.of_part("train")[0]
    found = taught.of(states.utterances[one].name)
    assert found is not None
    assert len(found) == states.frames(one)
    np.testing.assert_allclose(np.exp(found.astype(np.float32)).sum(-1), 1.0, atol=2e-2)


def test_at_the_same_speed_nothing_changes_and_at_another_what_is_said_moves(shape: Shape) -> None:
    spoken = np.full((40, 4), np.log(0.01), dtype=np.float16)
    spoken[:, 0] = np.log(0.97)
    spoken[20] = np.log([0.01, 0.97, 0.01, 0.01])
    same = spoken_at_another_speed(spoken, shape, 1.0, 40)
    np.testing.assert_allclose(same, spoken, atol=0.01)
    slower = spoken_at_another_speed(spoken, shape, 1.2, 48)
    assert slower.shape == (48, 4)
    stride, middle = int(np.prod(shape.conv_stride)), shape.samples(1) / 2
    assert abs(int(slower[:, 1].argmax()) - ((20 * stride + middle) * 1.2 - middle) / stride) <= 0.5
    np.testing.assert_allclose(np.exp(slower.astype(np.float32)).sum(-1), 1.0, atol=2e-2)


def test_batches_hold_what_the_teacher_said_of_whole_recordings(
    corpus: Corpus, slow: Shape, taught: Posteriors
) -> None:
    source = Source(corpus.part("train"))
    maker = BatchMaker([source], slow, BATCHES, AugmentOptions.none(), Surroundings(), 1, posteriors=taught)
    batch = maker.batch(0)
    assert batch.taught is not None
    assert batch.taught.frames.tolist() == batch.frames.tolist()
    at_speed = replace(AugmentOptions.none(), speed=(0.9, 0.9), speed_share=1.0)
    slower = BatchMaker([source], slow, BATCHES, at_speed, Surroundings(), 1, posteriors=taught).batch(0)
    assert slower.taught is not None
    assert slower.taught.frames.tolist() == slower.frames.tolist()
    unknown = replace(taught, places={})
    silent = BatchMaker([source], slow, BATCHES, AugmentOptions.none(), Surroundings(), 1, posteriors=unknown).batch(0)
    assert silent.taught is not None
    assert not silent.taught.frames.any()


def test_of_spliced_recordings_nothing_is_taught(corpus: Corpus, slow: Shape, taught: Posteriors) -> None:
    cut = tuple(replace(one, transcript="AB C", cuts=(one.samples // 2,)) for one in corpus.part("train").utterances)
    options = BatchOptions(BATCHES.frames, BATCHES.seconds, splice_share=1.0)
    source = Source(Corpus(corpus.audio, cut))
    batch = BatchMaker([source], slow, options, AugmentOptions.none(), Surroundings(), 1, posteriors=taught).batch(0)
    assert batch.taught is not None
    assert not batch.taught.frames.any()


def test_who_says_what_the_teacher_says_is_taught_nothing() -> None:
    said = torch.randn(2, 12, 5).log_softmax(-1)
    other = torch.randn(2, 12, 5).log_softmax(-1)
    frames = torch.tensor([12, 7])
    assert float(divergence(said, said, frames)) == pytest.approx(0.0, abs=1e-6)
    assert float(divergence(other, said, frames)) > 0.01
    assert float(divergence(other, said, torch.zeros(2, dtype=torch.int64))) == 0.0


def test_a_run_follows_its_teacher(configuration: Configuration, taught: Posteriors, tmp_path: Path) -> None:
    following = replace(configuration, teaching=TeachingOptions(str(tmp_path / "teacher"), weight=2.0))
    shared = prepare_run(following)
    batch = batch_maker(following, shared.start).batch(0)
    assert batch.taught is not None
    optimizers = make_optimizers(shared, 0)
    with_teacher = train_step(shared, optimizers, batch, 0)["all"]
    shared = prepare_run(configuration)
    alone = train_step(shared, make_optimizers(shared, 0), replace(batch, taught=None), 0)["all"]
    assert with_teacher > alone


@pytest.mark.parametrize(("lookahead", "follows"), [(4, True), (0, False)])
def test_a_stream_follows_it_where_there_is_lookahead(
    configuration: Configuration, taught: Posteriors, tmp_path: Path, lookahead: int, follows: bool
) -> None:
    """The teacher has heard what comes after each frame."""
    streaming = replace(configuration.streaming, share=1.0, contexts=((8, lookahead, 1),))
    following = replace(configuration, teaching=TeachingOptions(str(tmp_path / "teacher")), streaming=streaming)
    losses = []
    for number in range(2):
        shared = prepare_run(following)
        batch = batch_maker(following, shared.start).batch(0)
        batch = batch if number else replace(batch, taught=None)
        losses.append(train_step(shared, make_optimizers(shared, 0), batch, 0)["all"])
    assert (losses[0] < losses[1]) == follows
    assert follows or losses[0] == losses[1]


def test_the_command_leaves_what_a_run_reads(
    whisper_folder: Path,
    corpus_folder: Path,
    configuration: Configuration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "made"
    line = [str(corpus_folder), str(target), "--whisper", str(whisper_folder), "--like", configuration.model.shape]
    monkeypatch.setattr(sys, "argv", ["teacher", *line, "--minutes", "0.02"])
    threads = torch.get_num_threads()
    try:
        teacher.main()
    finally:
        torch.set_num_threads(threads)
    assert Posteriors.open(target).of("u0") is not None
